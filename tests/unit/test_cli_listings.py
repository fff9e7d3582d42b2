"""The commands that list: shipped specs, corpora, and what is installed."""

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from hrmsearch import runtime
from hrmsearch.cli.app import app
from hrmsearch.errors import BackendError
from hrmsearch.spec.load import shipped


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_specs_shows_every_shipped_spec_with_its_size_and_purpose() -> None:
    done = invoke("specs")
    assert done.exit_code == 0
    rows = {line.split()[0]: line.split()[1:] for line in done.output.splitlines()[2:] if line}
    assert list(rows) == list(shipped())
    assert rows["infini_hrm"][:2] == ["160,132", "Infini-attention"]


def test_data_list_says_where_a_corpus_is_or_why_it_is_not(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("HRMSEARCH_DATA", raising=False)
    done = invoke("data", "list")
    rows = {line.split()[0]: line for line in done.output.splitlines()[2:] if line}
    assert rows["pydoc"].split()[1:3] == ["yes", "inside"]
    assert (
        "  no    no train.txt and no valid.txt in the user cache; it is downloaded when needed  " in rows["wikitext2"]
    )


def test_data_fetch_of_a_corpus_that_is_here_says_where() -> None:
    done = invoke("data", "fetch", "pydoc")
    assert done.exit_code == 0
    assert done.output.startswith("pydoc: inside Python 3.")


def test_data_fetch_of_an_unknown_corpus_names_the_nearest() -> None:
    done = invoke("data", "fetch", "pydocs")
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.startswith("hrmsearch: unknown corpus 'pydocs'; did you mean 'pydoc'?")


def test_doctor_shows_packages_backends_compilers_and_corpora() -> None:
    done = invoke("doctor")
    assert done.exit_code == 0
    assert done.output.startswith("Python 3.")
    rows = [" ".join(row.split()) for row in done.output.splitlines()]
    for line in ("hrmsearch ", "numpy ", "reference on cpu NumPy, float64", "cc ", "pydoc "):
        assert any(row.startswith(line) for row in rows), line


def test_doctor_says_what_a_missing_torch_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> runtime.Backend:
        raise BackendError(f"backend {name!r} cannot be used (No module named 'torch'); pip install 'hrmsearch[torch]'")

    monkeypatch.setattr(runtime, "load_backend", load)
    done = invoke("doctor")
    assert done.exit_code == 0
    assert "(No module named 'torch'); pip install 'hrmsearch[torch]'" in done.output


def test_doctor_survives_a_broken_framework(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(name: str) -> runtime.Backend:
        raise OSError(f"lib{name}.so: undefined symbol")

    monkeypatch.setattr(runtime, "load_backend", load)
    done = invoke("doctor")
    assert done.exit_code == 0
    assert "broken" in done.output
    assert "OSError: libtorch.so: undefined symbol" in done.output


def test_doctor_says_what_a_missing_c_compiler_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "/nowhere/cc")
    (row,) = (row for row in invoke("doctor").output.splitlines() if row.startswith("cc "))
    assert "not found" in row
    assert "slower on the CPU" in row
    assert row.endswith("install gcc or clang")


def test_doctor_says_what_tinygrad_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("tinygrad", reason="tinygrad is not installed")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    rows = invoke("doctor").output.splitlines()
    (device,) = (row for row in rows if row.startswith("tinygrad on CPU  "))
    assert "clang was not found: tinygrad's CPU device needs it; apt-get install clang" in device
    (compiler,) = (row for row in rows if row.startswith("clang  "))
    assert compiler.split(maxsplit=3)[1:] == ["not", "found", "tinygrad's CPU device needs it: apt-get install clang"]
