"""Downloads of published archives from the first mirror that works, checked by size and SHA-256.

Servers are not trusted: no answer is read beyond the size of the archive. pooch downloads to a
temporary file and renames it after the check, so a broken transfer leaves nothing behind.
"""

from __future__ import annotations

import functools
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from minigan.errors import ConfigError, DownloadError, FileError
from minigan.files import as_path
from minigan.text import disable_bar

CACHE_DIR = "MINIGAN_CACHE_DIR"  # the environment variable that sets the cache folder
TIMEOUT = 15.0  # seconds without an answer or a byte
CHUNK = 1 << 16  # bytes that are read at a time


class Archive(NamedTuple):
    """A file as it was published."""

    size: int  # bytes
    sha256: str


@dataclass(frozen=True)
class Published:
    """A dataset as it was published."""

    name: str  # of its folder in the cache
    archives: dict[str, Archive]  # by file name
    mirrors: tuple[str, ...]  # addresses that end in "/", tried in this order


FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _archives(*published: tuple[int, str]) -> dict[str, Archive]:
    """The archives by file name, in the order of `FILES`."""
    return {f"{name}.gz": Archive(*one) for name, one in zip(FILES, published, strict=True)}


PUBLISHED = {
    "mnist": Published(
        "mnist",
        _archives(
            (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
            (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
            (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
            (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
        ),
        (
            "https://ossci-datasets.s3.amazonaws.com/mnist/",
            "https://storage.googleapis.com/cvdf-datasets/mnist/",
            "http://yann.lecun.com/exdb/mnist/",  # the original, often unreachable
        ),
    ),
    "fashion": Published(
        "fashion",
        _archives(
            (26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
            (29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
            (4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
            (5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
        ),
        (
            "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
        ),
    ),
}


def cache_folder(cache: Path | str | None = None) -> Path:
    """The folder for downloads and for files that can be made again.

    It is `cache` if given, else the environment variable MINIGAN_CACHE_DIR, else the
    operating system's cache folder (on Linux ~/.cache/minigan).

    Raises:
        ConfigError: there is no such folder.
    """
    import pooch

    chosen = cache or os.environ.get(CACHE_DIR)
    try:
        return as_path(chosen or pooch.os_cache("minigan"))
    except RuntimeError as error:  # no home folder
        raise ConfigError(f"cannot find a folder for downloads: {error}; set {CACHE_DIR}") from None


def fetch(
    published: Published,
    cache: Path | str | None = None,
    *,
    progress: bool = True,
    download: bool = True,
) -> Path:
    """Ensure that all files of a dataset are in the cache, downloading those that are not there.

    Args:
        published: what to fetch.
        cache: see `cache_folder`.
        progress: show a bar.
        download: False only looks whether the files are there.

    Returns:
        The folder that holds them, <cache>/<name>. Every file has been checked.

    Raises:
        DownloadError: no mirror gave a file; it lists what each one answered.
        FileError: the cache cannot be written.
    """
    import pooch

    folder = cache_folder(cache) / published.name
    pooch.get_logger().setLevel(logging.ERROR)  # the progress bar is enough
    missing = {
        name: archive
        for name, archive in published.archives.items()
        if not (folder / name).is_file()
        or (folder / name).stat().st_size != archive.size
        or pooch.file_hash(str(folder / name), alg="sha256") != archive.sha256
    }
    if missing and not download:
        raise DownloadError(f"{published.name} is not in the cache {folder}: it needs a download")
    answers: list[str] = []
    offline = True
    for mirror in published.mirrors:
        if missing:
            reason, no_answer = _download_from(mirror, missing, folder, progress)
            answers.append(f"{mirror}: {reason}")
            offline = offline and no_answer
    if missing:
        raise DownloadError(
            f"cannot download {published.name}: {'; '.join(answers)}", offline=offline
        )
    return folder


def _download_from(
    mirror: str, missing: dict[str, Archive], folder: Path, progress: bool
) -> tuple[str, bool]:
    """Download files from a mirror; each is removed from `missing` when it has been checked.

    Returns:
        Why the mirror did not give them all, or ""; and whether it did not answer at all.

    Raises:
        FileError: the folder cannot be written.
    """
    import pooch
    import requests

    first = True
    try:
        for name, archive in list(missing.items()):
            pooch.retrieve(
                mirror + name,
                f"sha256:{archive.sha256}",
                fname=name,
                path=folder,
                downloader=functools.partial(_download, archive.size, progress),
            )
            del missing[name]
            first = False
    except requests.RequestException as error:
        reason, no_answer = _reason(error)
        return reason, no_answer and first
    except ValueError:  # from _download, or from pooch for a wrong hash
        return f"{next(iter(missing))} is not the published file", False
    except OSError as error:
        raise FileError(f"cannot write to the cache {folder}: {error.strerror or error}") from error
    return "", False


def _download(size: int, progress: bool, url: str, file: str, pooch: Any) -> None:
    """Write a file of `size` bytes from a server; `ValueError` if the server sends another one.

    An answer with a Content-Encoding is refused: a small one could be decompressed into a large
    one. Redirects are followed without reading what comes with them.
    """
    import requests
    from tqdm import tqdm

    def leave_unread(response: requests.Response, *args: Any, **settings: Any) -> None:
        if response.is_redirect:
            response.close()

    with requests.get(
        url,
        headers={"Accept-Encoding": "identity"},
        hooks={"response": leave_unread},
        stream=True,
        timeout=TIMEOUT,
    ) as response:
        response.raise_for_status()
        if response.headers.get("Content-Encoding", "identity") != "identity":
            raise ValueError("it has a Content-Encoding")
        with (
            open(file, "wb") as target,
            tqdm(total=size, unit="B", unit_scale=True, disable=disable_bar(progress)) as bar,
        ):
            for piece in response.iter_content(CHUNK):
                target.write(piece)
                bar.update(len(piece))
                if target.tell() > size:
                    raise ValueError("it is too long")


def _reason(error: Exception) -> tuple[str, bool]:
    """Why a request failed, in a few words; and whether there was no answer, as when offline."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"HTTP status {error.response.status_code}", False
    if isinstance(error, requests.Timeout):
        return f"no answer within {TIMEOUT:g} seconds", True
    answered = (requests.exceptions.SSLError, requests.exceptions.ProxyError)
    if isinstance(error, requests.ConnectionError) and not isinstance(error, answered):
        return "no connection", True
    return f"the transfer failed ({type(error).__name__})", False
