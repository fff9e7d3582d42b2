"""Corpora are found, fetched or passed over, and an unfit file is one clear error."""

from pathlib import Path

import pytest

from hrmsearch.errors import DataError
from hrmsearch.tasks import corpora
from hrmsearch.tasks.corpora import Corpus, Document, Location, Texts, UnavailableError


class Absent(Corpus):
    """A corpus that cannot be had."""

    name = "absent"
    about = "nothing"

    def read(self, train_chars: int | None) -> Texts:
        raise UnavailableError("absent was not found")

    def locate(self) -> Location:
        return Location(self.name, False, "it is nowhere", self.about)


@pytest.fixture(autouse=True)
def absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(corpora._CORPORA, "absent", Absent())  # pyright: ignore[reportPrivateUsage]


def test_the_known_names_are_these() -> None:
    assert corpora.names() == ["absent", "pydoc", "wikitext2", "wikitext2_reordered"]


def test_the_first_corpus_that_can_be_had_is_read_and_the_others_are_named() -> None:
    texts = corpora.read_first(["absent", "./missing.txt", "pydoc"])
    assert texts.corpus == "pydoc"
    assert texts.notes[0] == "absent was not found; fell through to pydoc"
    assert texts.notes[1].startswith("./missing.txt: no such file")


def test_no_corpus_at_all_lists_every_reason() -> None:
    with pytest.raises(DataError, match=r"no corpus can be had: absent was not found; \./missing.txt: no such file"):
        corpora.read_first(["absent", "./missing.txt"])


def test_an_unfit_file_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "empty.txt"
    path.touch()
    with pytest.raises(DataError, match=r"empty\.txt: the file is empty"):
        corpora.read_first([str(path), "pydoc"])


def test_a_relative_path_starts_at_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.txt").write_bytes(b"a\r\nb")
    monkeypatch.chdir(tmp_path)
    assert corpora.read_first(["mine.txt"]).train == Document("mine.txt", "a\r\nb")
    assert corpora.locate("./mine.txt").found


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the file is empty"),
        (b" \n", "the file is empty"),
        (b"ELF\0\1", "the file is binary"),
        (b"caf\xe9", "not UTF-8 at byte 3"),
    ],
)
def test_a_file_that_is_no_text_is_an_error_that_names_it(tmp_path: Path, body: bytes, message: str) -> None:
    path = tmp_path / "bad.txt"
    path.write_bytes(body)
    with pytest.raises(DataError, match=rf"bad\.txt: {message}"):
        corpora.read_first([str(path)])


@pytest.mark.parametrize("entry", [".", "/dev/null", "./a\0b", "./" + "x" * 5000, "~nobody_at_all/x"])
def test_a_path_that_is_no_file_is_an_error(entry: str) -> None:
    with pytest.raises(DataError):
        corpora.read_first([entry])


def test_a_word_that_is_neither_name_nor_path_is_an_error() -> None:
    with pytest.raises(DataError, match=r"unknown corpus 'wikitext'; did you mean 'wikitext2'\?"):
        corpora.locate("wikitext")


def test_pydoc_is_the_same_text_each_time_and_says_its_version() -> None:
    one, two = corpora.read_first(["pydoc"]), corpora.read_first(["pydoc"])
    assert one == two
    assert len(one.train.text) > 300_000
    assert "another version has another text" in one.notes[0]


def test_a_python_without_pydoc_data_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora.Pydoc, "module", "pydoc_data.no_such_module")
    assert not corpora.locate("pydoc").found
    with pytest.raises(DataError, match="this Python comes without"):
        corpora.read_first(["pydoc"])


def test_fetching_what_cannot_be_fetched_says_why() -> None:
    assert corpora.fetch("pydoc").found
    with pytest.raises(DataError, match="it is nowhere"):
        corpora.fetch("absent")
