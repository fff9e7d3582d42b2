"""WikiText-2 is found in the data folder or the cache, or downloaded whole, on time and checked."""

import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hrmsearch.errors import DataError
from hrmsearch.tasks import corpora, download, wikitext
from hrmsearch.tasks.wikitext import PREFIX, PREFIX_CHARS, REORDERED, TRAIN, VALID, Known

START = "the first words . " * 10
BODIES = {"/train.txt": (START + "and the rest").encode(), "/valid.txt": b"valid text"}
KNOWN = sha256(START.encode()).hexdigest()


class Server:
    """A source on this machine: `answer` maps a path to a body, `delay` holds it back, `cut` closes early."""

    def __init__(self) -> None:
        self.answer = dict(BODIES)
        self.asked: list[str] = []
        self.delay = 0.0
        self.cut = False
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                time.sleep(server.delay)
                body = server.answer.get(self.path)
                if body is None:
                    return self.send_error(404)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body) + (100 if server.cut else 0)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test's output clean."""

        return Handler


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Server]:
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr(wikitext, "URL", server.url)
    monkeypatch.setattr(
        wikitext,
        "FILES",
        {
            PREFIX: Known(KNOWN, remote=TRAIN, limit=len(START)),
            TRAIN: Known(KNOWN, size=len(START), remote=TRAIN),
            VALID: Known(sha256(b"valid text").hexdigest(), remote=VALID),
            REORDERED: Known(KNOWN),
        },
    )
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("HRMSEARCH_DATA", str(tmp_path / "data"))
    yield server
    server.http.shutdown()
    thread.join()
    server.http.server_close()


@pytest.fixture
def put(tmp_path: Path) -> Callable[[str, bytes], Path]:
    def put(name: str, body: bytes) -> Path:
        path = tmp_path / "data" / "wikitext-2" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        return path

    return put


def cached(tmp_path: Path) -> list[str]:
    folder = tmp_path / "cache" / "hrmsearch" / "wikitext-2"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def test_only_the_first_characters_are_downloaded_where_no_more_are_asked(server: Server, tmp_path: Path) -> None:
    texts = corpora.read_first(["wikitext2", "pydoc"], PREFIX_CHARS)
    assert texts.train.text == START
    assert texts.heldout is not None
    assert texts.heldout.text == "valid text"
    assert cached(tmp_path) == [PREFIX, VALID]
    assert texts.notes == tuple(f"{name} was downloaded from {server.url}" for name in (PREFIX, VALID))


def test_the_cache_is_used_the_next_time(server: Server) -> None:
    corpora.read_first(["wikitext2"], 10)
    asked = list(server.asked)
    assert corpora.read_first(["wikitext2"], 10).notes == ()
    assert server.asked == asked


def test_fetch_brings_the_whole_files(server: Server, tmp_path: Path) -> None:
    assert not corpora.locate("wikitext2").found
    assert corpora.fetch("wikitext2").found
    assert cached(tmp_path) == [TRAIN, VALID]
    assert corpora.read_first(["wikitext2"]).train.text == BODIES["/train.txt"].decode()
    assert len(server.asked) == 2


def test_the_data_folder_comes_first_and_nothing_is_downloaded(
    server: Server, put: Callable[[str, bytes], Path]
) -> None:
    put(PREFIX, START.encode())
    put(VALID, b"valid text")
    texts = corpora.read_first(["wikitext2"], PREFIX_CHARS)
    assert texts.train.file == f"wikitext-2/{PREFIX}"
    assert server.asked == []
    assert "only the first 20000 characters" in corpora.locate("wikitext2").where
    corpora.read_first(["wikitext2"], PREFIX_CHARS + 1)
    assert server.asked == ["/train.txt"]


def test_a_damaged_file_is_an_error_that_names_it(server: Server, put: Callable[[str, bytes], Path]) -> None:
    put(TRAIN, b"something else")
    with pytest.raises(DataError, match=r"train\.txt: not the known file: .* remove or replace it"):
        corpora.read_first(["wikitext2", "pydoc"])
    assert server.asked == []


@pytest.mark.parametrize(
    ("fault", "reason"),
    [("missing", "HTTP 404 Not Found"), ("changed", "not the known file"), ("cut", "connection closed after")],
)
def test_a_failed_download_falls_through_and_leaves_no_file(
    server: Server, tmp_path: Path, fault: str, reason: str
) -> None:
    if fault == "missing":
        server.answer = {}
    if fault == "changed":
        server.answer = {"/train.txt": b"another text", "/valid.txt": b"another text"}
    server.cut = fault == "cut"
    texts = corpora.read_first(["wikitext2", "pydoc"])
    assert texts.corpus == "pydoc"
    assert reason in texts.notes[0]
    assert texts.notes[0].startswith("wikitext2 was not found: ")
    assert texts.notes[0].endswith("; fell through to pydoc")
    assert cached(tmp_path) == []


def test_a_slow_download_falls_through_on_time(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wikitext, "TIMEOUT", 0.2)
    server.delay = 1.0
    start = time.monotonic()
    assert corpora.read_first(["wikitext2", "pydoc"]).corpus == "pydoc"
    assert time.monotonic() - start < 0.9


def test_an_unwritable_cache_falls_through(server: Server, tmp_path: Path) -> None:
    del server
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert corpora.read_first(["wikitext2", "pydoc"]).corpus == "pydoc"


def test_the_reordered_corpus_says_so_and_is_never_downloaded(
    server: Server, put: Callable[[str, bytes], Path]
) -> None:
    with pytest.raises(DataError, match=r"put train\.reordered\.txt into \$HRMSEARCH_DATA/wikitext-2"):
        corpora.read_first(["wikitext2_reordered"])
    with pytest.raises(DataError, match="cannot be downloaded"):
        corpora.fetch("wikitext2_reordered")
    assert server.asked == []
    put(REORDERED, START.encode())
    put(VALID, b"valid text")
    assert corpora.read_first(["wikitext2_reordered"]).notes == wikitext.ReorderedWikiText.notes


def test_all_of_the_reordered_text_is_there(data_root: Path) -> None:
    del data_root
    texts = corpora.read_first(["wikitext2_reordered"])
    assert len(texts.train.text) == 10_780_437


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: str, target: Path) -> None:
        raise OSError("disk full")

    path = tmp_path / "folder" / "file"
    download.write_atomic(path, b"old")
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        download.write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/hrmsearch"),
        ("linux", {"HOME": "/h"}, "/h/.cache/hrmsearch"),
        ("darwin", {"HOME": "/h"}, "/h/Library/Caches/hrmsearch"),
        ("win32", {"LOCALAPPDATA": "/l"}, "/l/hrmsearch"),
    ],
)
def test_the_cache_lies_where_the_platform_keeps_caches(
    monkeypatch: pytest.MonkeyPatch, platform: str, variables: dict[str, str], folder: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr("sys.platform", platform)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert download.cache_dir() == Path(folder)
