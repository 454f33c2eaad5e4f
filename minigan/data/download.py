"""Downloads of published archives from the first mirror that works, checked by their SHA-256.

pooch downloads to a temporary file and renames it after that check, so a broken transfer leaves
nothing behind.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from minigan.errors import DownloadError, FileError

CACHE_DIR = "MINIGAN_CACHE_DIR"  # the environment variable that sets the cache folder
TIMEOUT = 15.0  # seconds without an answer or a byte


@dataclass(frozen=True)
class Published:
    """A dataset as it was published."""

    name: str  # of its folder in the cache
    sha256: dict[str, str]  # file name -> SHA-256 of the archive
    mirrors: tuple[str, ...]  # addresses that end in "/", tried in this order


FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _archives(*sha256: str) -> dict[str, str]:
    """File names with their hashes, in the order of `FILES`."""
    return {f"{name}.gz": digest for name, digest in zip(FILES, sha256, strict=True)}


PUBLISHED = {
    "mnist": Published(
        "mnist",
        _archives(
            "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
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
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
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
    """
    import pooch

    chosen = cache or os.environ.get(CACHE_DIR)
    return Path(chosen).expanduser() if chosen else Path(pooch.os_cache("minigan"))


def fetch(
    published: Published,
    cache: Path | str | None = None,
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
    import requests

    folder = cache_folder(cache) / published.name
    pooch.get_logger().setLevel(logging.ERROR)  # the progress bar is enough
    answers: list[str] = []
    offline = True  # no mirror answered at all
    todo = [
        name
        for name, digest in published.sha256.items()
        if not (folder / name).is_file()
        or pooch.file_hash(str(folder / name), alg="sha256") != digest
    ]
    if todo and not download:
        raise DownloadError(f"{published.name} is not in the cache {folder}: it needs a download")
    for mirror in published.mirrors if todo else ():
        try:
            while todo:
                pooch.retrieve(
                    mirror + todo[0],
                    f"sha256:{published.sha256[todo[0]]}",
                    fname=todo[0],
                    path=folder,
                    downloader=pooch.HTTPDownloader(progressbar=progress, timeout=TIMEOUT),
                )
                todo.pop(0)
                offline = False
        except requests.RequestException as error:
            reason, silent = _reason(error)
            offline = offline and silent
            answers.append(f"{mirror}: {reason}")
        except ValueError:  # what pooch raises for a wrong hash
            offline = False
            answers.append(f"{mirror}: {todo[0]} is not the published file (wrong SHA-256)")
        except OSError as error:
            raise FileError(
                f"cannot write to the cache {folder}: {error.strerror or error}"
            ) from error
        else:
            break
    if todo:
        raise DownloadError(f"cannot download {published.name}: {'; '.join(answers)}", offline)
    return folder


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
