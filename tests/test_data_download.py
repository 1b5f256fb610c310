"""The download of Tiny ImageNet, from a real server on this machine."""

import hashlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from images import tiny_files, write_zip

from sweeper.data import DataError, download, prepare
from sweeper.experiment import Data

BY_HAND = r"By hand: get tiny-imagenet-200.zip \(.* bytes, MD5 .*place it at .*\.zip, or set data.root"


class Server(ThreadingHTTPServer):
    """Serves `content` at every path; each entry of `cuts` ends one answer after that many bytes."""

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.cuts, self.ranges = content, list[int](), True
        self.status = 200
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}/tiny-imagenet-200.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        content, status = self.server.content, self.server.status
        if wanted and self.server.ranges:
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            content, status = content[begin:], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 206:
            self.send_header(
                "Content-Range", f"bytes {begin}-{len(self.server.content) - 1}/{len(self.server.content)}"
            )
        self.end_headers()
        self.wfile.write(content[: self.server.cuts.pop(0)] if self.server.cuts else content)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return write_zip(tmp_path_factory.mktemp("served") / "tiny.zip", tiny_files()).read_bytes()


@pytest.fixture
def server(content: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    with Server(content) as running:
        thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        monkeypatch.setenv(download.URL_VARIABLE, running.url)
        monkeypatch.setattr(download, "SIZE_BYTES", len(content))
        monkeypatch.setattr(download, "MD5", hashlib.md5(content).hexdigest())
        monkeypatch.setattr(download, "PAUSE_SECONDS", 0.0)
        yield running
        running.shutdown()
        thread.join()


def test_the_archive_is_downloaded_once_and_then_prepared(server: Server, tmp_path: Path, content: bytes) -> None:
    for _ in range(2):
        assert len(prepare(Data("tiny-imagenet"), tmp_path).labels_N) == 35
    assert server.asked == [None]
    assert (tmp_path / "tiny-imagenet-200.zip").read_bytes() == content
    assert not list(tmp_path.glob("*.part"))


def test_a_download_that_is_cut_off_goes_on_where_it_stopped(server: Server, tmp_path: Path, content: bytes) -> None:
    server.cuts = [10_000, 5_000]
    target = download.fetch(tmp_path / "a.zip", tmp_path)
    assert server.asked == [None, "bytes=10000-", "bytes=15000-"]
    assert target.read_bytes() == content


def test_a_later_run_goes_on_with_what_an_earlier_one_left(server: Server, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.zip.part").write_bytes(content[:20_000])
    assert download.fetch(tmp_path / "a.zip", tmp_path).read_bytes() == content
    assert server.asked == ["bytes=20000-"]


def test_a_server_that_ignores_ranges_is_asked_from_the_start(server: Server, tmp_path: Path, content: bytes) -> None:
    server.cuts, server.ranges = [10_000], False
    assert download.fetch(tmp_path / "a.zip", tmp_path).read_bytes() == content
    assert len(server.asked) == 2


def test_the_attempts_are_bounded_and_what_came_is_kept(server: Server, tmp_path: Path) -> None:
    server.cuts = [100] * 10
    with pytest.raises(DataError, match=f"cut off after 400 of .*{BY_HAND}"):
        download.fetch(tmp_path / "a.zip", tmp_path)
    assert (tmp_path / "a.zip.part").stat().st_size == 400
    assert len(server.asked) == download.ATTEMPTS


def test_a_file_with_another_checksum_is_removed(server: Server, tmp_path: Path, content: bytes) -> None:
    server.content = content[:-1] + b"x"
    with pytest.raises(DataError, match=f"not the official archive: .*MD5 .*expected.*{BY_HAND}"):
        download.fetch(tmp_path / "a.zip", tmp_path)
    assert [path for path in tmp_path.iterdir() if path.is_file()] == []


def test_a_file_of_another_size_is_not_even_read(server: Server, tmp_path: Path) -> None:
    server.content = b"<html>please log in</html>"
    with pytest.raises(DataError, match=f"not the official archive: 26 bytes, expected.*{BY_HAND}"):
        download.fetch(tmp_path / "a.zip", tmp_path)
    assert not (tmp_path / "a.zip.part").exists()


def test_an_answer_that_will_not_change_is_not_asked_for_again(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(DataError, match=f"404.*{BY_HAND}"):
        download.fetch(tmp_path / "a.zip", tmp_path)
    assert len(server.asked) == 1


def test_without_a_network_it_is_said_how_to_place_the_file_by_hand(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.shutdown()
    server.server_close()
    with pytest.raises(DataError, match=f"could not download {server.url}.*refused.*{BY_HAND}"):
        prepare(Data("tiny-image10"), tmp_path)


def test_a_download_larger_than_the_disk_is_not_begun(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SIZE_BYTES", 2**60)
    with pytest.raises(DataError, match=r"needs 1,152,921,504,606,846,976 bytes in .*are free. Make room"):
        download.fetch(tmp_path / "a.zip", tmp_path)
    assert server.asked == []


def test_processes_that_download_at_once_ask_once(server: Server, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from sweeper.data import download\n"
        f"download.SIZE_BYTES, download.MD5 = {download.SIZE_BYTES}, {download.MD5!r}\n"
        "download.fetch(Path(sys.argv[1]) / 'a.zip', Path(sys.argv[1]))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(tmp_path)]) for _ in range(2)]
    assert [process.wait(60) for process in processes] == [0, 0]
    assert server.asked == [None]
