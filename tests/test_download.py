"""Downloads, against a server on this machine. No test here touches the internet."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import http.server
import socket
import sys
import threading

import pytest

import minigan as mg
from minigan.data import datasets, download
from minigan.data.download import PUBLISHED, Published, cache_folder, fetch

FILES = {"a.gz": b"first file" * 5000, "b.gz": b"second"}
ARCHIVES = {
    name: download.Archive(len(data), hashlib.sha256(data).hexdigest())
    for name, data in FILES.items()
}
ENDLESS = 1 << 26  # bytes that a server sends, unless the connection is closed


class Mirror:
    """A server that serves FILES from 127.0.0.1, well or badly."""

    def __init__(self, behaviour: str = "good", to: str = "") -> None:
        self.asked: list[str] = []
        self.sent = 0  # bytes of an endless answer
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                name = self.path.rsplit("/", 1)[-1]
                mirror.asked.append(name)
                data = FILES[name]
                if behaviour == "dies at b" and name == "b.gz":
                    self.connection.close()
                    return
                if behaviour == "missing" or (behaviour == "no b" and name == "b.gz"):
                    self.send_error(404)
                    return
                self.send_response(302 if to else 200)
                if to:
                    self.send_header("Location", to + name)
                if behaviour == "packed" or "gzip" in self.headers.get("Accept-Encoding", ""):
                    data = gzip.compress(data)
                    self.send_header("Content-Encoding", "gzip")
                if behaviour == "endless":
                    self.end_headers()
                    with contextlib.suppress(ConnectionError):
                        while mirror.sent < ENDLESS:
                            self.wfile.write(bytes(1 << 16))
                            mirror.sent += 1 << 16
                    self.close_connection = True
                    return
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                if behaviour == "wrong":
                    data = bytes(len(data))
                if behaviour == "truncated":
                    data = data[: len(data) // 2]
                self.wfile.write(data)
                self.close_connection = True

            def log_message(self, *args):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/some/folder/"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def mirror(monkeypatch):
    """A maker of mirrors that are stopped after the test; proxies are not asked."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    made = []

    def make(behaviour: str = "good", to: str = "") -> Mirror:
        made.append(Mirror(behaviour, to))
        return made[-1]

    yield make
    for one in made:
        one.stop()


def dead() -> str:
    """The address of a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/"


def get(tmp_path, *urls, **options):
    options = {"progress": False, **options}
    return fetch(Published("tiny", ARCHIVES, urls), tmp_path / "cache", **options)


def left(tmp_path) -> dict[str, bytes]:
    """What the cache holds, temporary files included."""
    return {p.name: p.read_bytes() for p in (tmp_path / "cache").rglob("*") if p.is_file()}


def test_good_files_are_kept_and_not_asked_for_again(mirror, tmp_path):
    server = mirror()
    folder = get(tmp_path, server.url)
    assert folder == tmp_path / "cache" / "tiny"
    assert left(tmp_path) == FILES
    assert server.asked == list(FILES)
    get(tmp_path, server.url)
    assert server.asked == list(FILES)
    get(tmp_path, dead())  # no mirror is needed any more
    assert get(tmp_path, dead(), download=False) == folder


def test_without_a_stderr_there_is_no_bar(mirror, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    get(tmp_path, mirror().url, progress=True)
    assert left(tmp_path) == FILES


@pytest.mark.parametrize(
    ("behaviour", "told", "offline"),
    [
        ("wrong", "a.gz is not the published file", False),
        ("truncated", "the transfer failed|not the published", False),
        ("missing", "HTTP status 404", False),
        ("packed", "a.gz is not the published file", False),
        ("endless", "a.gz is not the published file", False),
    ],
)
def test_a_bad_mirror_leaves_nothing_behind(behaviour, told, offline, mirror, tmp_path):
    server = mirror(behaviour)
    with pytest.raises(mg.DownloadError, match=told) as caught:
        get(tmp_path, server.url)
    assert server.url in str(caught.value)
    assert left(tmp_path) == {}
    assert caught.value.offline is offline


@pytest.mark.parametrize("behaviour", ["wrong", "truncated", "missing", "packed", "endless"])
def test_the_next_mirror_takes_over(behaviour, mirror, tmp_path):
    bad, good = mirror(behaviour), mirror()
    get(tmp_path, bad.url, good.url)
    assert left(tmp_path) == FILES
    assert bad.asked == ["a.gz"]  # a mirror that failed once is not asked again
    assert good.asked == list(FILES)


@pytest.mark.parametrize("to", ["", "a good mirror"])
def test_an_answer_without_end_is_not_read_to_its_end(to, mirror, tmp_path):
    """One byte too many shows that it is another file. A redirect's answer is not needed."""
    good = mirror()
    endless = mirror("endless", to=to and good.url)
    get(tmp_path, endless.url, good.url)
    assert left(tmp_path) == FILES
    assert endless.sent < ENDLESS / 2  # what the buffers of the system hold


def test_a_redirect_to_something_that_is_not_on_the_network(mirror, tmp_path):
    for name, data in FILES.items():
        (tmp_path / name).write_bytes(data)
    server = mirror(to=f"{tmp_path.as_uri()}/")
    with pytest.raises(mg.DownloadError, match="the transfer failed"):
        get(tmp_path, server.url)
    assert left(tmp_path) == {}


def test_a_redirect_to_another_mirror(mirror, tmp_path):
    good = mirror()
    get(tmp_path, mirror(to=good.url).url)
    assert good.asked == list(FILES)
    assert left(tmp_path) == FILES


def test_a_mirror_that_dies_half_way_is_not_offline(mirror, tmp_path):
    """It gave one file: there is a network, so nobody may be told that there is none."""
    server = mirror("dies at b")
    with pytest.raises(mg.DownloadError) as caught:
        get(tmp_path, server.url)
    assert not caught.value.offline
    assert set(left(tmp_path)) == {"a.gz"}


def test_a_transfer_has_a_time_limit(mirror, monkeypatch, tmp_path):
    import requests

    seen = []
    original = requests.get

    def recording(*args, **options):
        seen.append(options.get("timeout"))
        return original(*args, **options)

    monkeypatch.setattr(requests, "get", recording)
    get(tmp_path, mirror().url)
    assert seen == [download.TIMEOUT] * 2


def test_a_dead_first_mirror(mirror, tmp_path):
    good = mirror()
    get(tmp_path, dead(), good.url)
    assert left(tmp_path) == FILES


def test_a_mirror_that_lacks_one_file(mirror, tmp_path):
    first, second = mirror("no b"), mirror()
    get(tmp_path, first.url, second.url)
    assert left(tmp_path) == FILES
    assert second.asked == ["b.gz"]


def test_a_server_that_is_gone(mirror, tmp_path):
    server = mirror()
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(mg.DownloadError, match="no connection") as caught:
        get(tmp_path, server.url, dead())
    assert caught.value.offline
    assert "\n" not in str(caught.value)
    assert left(tmp_path) == {}


def test_a_cached_file_that_was_damaged_is_fetched_again(mirror, tmp_path):
    server = mirror()
    folder = get(tmp_path, server.url)
    (folder / "a.gz").write_bytes(b"damaged")
    get(tmp_path, server.url)
    assert left(tmp_path) == FILES
    assert server.asked == ["a.gz", "b.gz", "a.gz"]


def test_without_download_the_network_is_left_alone(mirror, tmp_path):
    server = mirror()
    with pytest.raises(mg.DownloadError, match="needs a download"):
        get(tmp_path, server.url, download=False)
    assert server.asked == []


def test_a_cache_that_cannot_be_written(mirror, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(mg.FileError, match="cache"):
        get(tmp_path, mirror().url)


def test_the_cache_folder_can_be_set(monkeypatch, tmp_path):
    monkeypatch.setenv("MINIGAN_CACHE_DIR", str(tmp_path / "there"))
    assert cache_folder() == tmp_path / "there"
    assert cache_folder(tmp_path / "here") == tmp_path / "here"
    monkeypatch.delenv("MINIGAN_CACHE_DIR")
    assert "minigan" in cache_folder().parts


def test_every_published_file_is_pinned_and_every_mirror_is_a_folder():
    for published in PUBLISHED.values():
        assert set(published.archives) == {f"{name}.gz" for name in datasets.FILES}
        archives = published.archives.values()
        assert all(len(bytes.fromhex(archive.sha256)) == 32 for archive in archives)
        assert all(4000 < archive.size < 30_000_000 for archive in archives)
        assert len({archive.sha256 for archive in archives}) == 4
        assert len(published.mirrors) >= 2
        assert all(mirror.endswith("/") for mirror in published.mirrors)


class TestAuto:
    """--data auto, with mirrors of our own."""

    def offline(self, monkeypatch, tmp_path, *urls):
        monkeypatch.delenv("MINIGAN_DATA_DIR", raising=False)
        monkeypatch.setenv("MINIGAN_CACHE_DIR", str(tmp_path / "cache"))
        published = PUBLISHED["mnist"]
        gone = Published("mnist", published.archives, urls or (dead(), dead()))
        monkeypatch.setitem(download.PUBLISHED, "mnist", gone)

    def test_offline_it_is_the_digits_and_says_so(self, monkeypatch, tmp_path):
        self.offline(monkeypatch, tmp_path)
        found = datasets.load_images("auto", progress=False)
        assert found.name == "digits"
        assert "no network" in found.note
        assert "\n" not in found.note

    def test_asked_for_by_name_offline_is_an_error(self, monkeypatch, tmp_path):
        self.offline(monkeypatch, tmp_path)
        with pytest.raises(mg.DownloadError, match=r"cannot download mnist.*--data-dir"):
            datasets.load_images("mnist", progress=False)

    def test_a_wrong_file_is_not_offline(self, mirror, monkeypatch, tmp_path):
        wrong = Mirror("wrong")
        for name in PUBLISHED["mnist"].archives:
            monkeypatch.setitem(FILES, name, b"not MNIST")
        self.offline(monkeypatch, tmp_path, wrong.url)
        try:
            with pytest.raises(mg.DownloadError, match="not the published file"):
                datasets.load_images("auto", progress=False)
        finally:
            wrong.stop()

    def test_a_folder_without_the_files_is_an_error(self, monkeypatch, tmp_path):
        self.offline(monkeypatch, tmp_path)
        (tmp_path / "empty").mkdir()
        for name in ("auto", "mnist"):
            with pytest.raises(mg.FileError, match="does not hold the four files of MNIST"):
                datasets.load_images(name, tmp_path / "empty", progress=False)
        with pytest.raises(mg.FileError, match="there is no folder"):
            datasets.load_images("auto", tmp_path / "nowhere", progress=False)
