"""Building generated C: kept once per content, in a directory that nobody else may write to, safe in parallel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hrmsearch.errors import BackendError
from hrmsearch_torch.kernels import build

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="no C compiler")

TEXT = "int answer(void) { return 42; }\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the directory of built libraries below a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "hrmsearch" / "kernels"


def test_a_text_is_compiled_once_and_can_be_read_beside_its_library(cache: Path) -> None:
    assert build.build(TEXT).answer() == 42
    (library,) = cache.glob("*.so")
    assert library.with_suffix(".c").read_text() == TEXT
    before = library.stat().st_mtime_ns
    assert build.build(TEXT).answer() == 42
    assert library.stat().st_mtime_ns == before
    assert {path.suffix for path in cache.iterdir()} == {".c", ".so"}


def test_another_text_compiler_or_processor_is_another_library(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.build(TEXT)
    assert build.build(TEXT.replace("42", "43")).answer() == 43
    monkeypatch.setattr(build, "processor", lambda: "another processor")
    build.build(TEXT)
    monkeypatch.setattr(build, "version", str)
    build.build(TEXT)
    assert len(list(cache.glob("*.so"))) == 4


def test_the_cache_is_its_owner_s_alone(cache: Path) -> None:
    build.build(TEXT)
    assert cache.stat().st_mode & 0o777 == 0o700


def test_a_cache_in_a_directory_that_everybody_may_write_to_is_refused(cache: Path) -> None:
    cache.parent.mkdir(mode=0o777)
    cache.parent.chmod(0o777)
    with pytest.raises(BackendError, match="others may write to it"):
        build.build(TEXT)


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_cache_that_others_may_write_to_is_refused(cache: Path, mode: int) -> None:
    cache.mkdir(parents=True)
    cache.chmod(mode)
    with pytest.raises(BackendError, match=r"others may write to it.*chmod go-w"):
        build.build(TEXT)


def test_a_library_that_others_may_write_to_is_refused(cache: Path) -> None:
    build.build(TEXT)
    (library,) = cache.glob("*.so")
    library.chmod(0o722)
    with pytest.raises(BackendError, match="others may write to it"):
        build.build(TEXT)


def test_a_cache_of_another_user_is_refused(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(BackendError, match="another user; set XDG_CACHE_HOME"):
        build.build(TEXT)
    assert cache.exists()


def test_without_a_place_for_a_cache_a_process_has_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no directory")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert build.build(TEXT).answer() == 42
    assert build.folder().stat().st_mode & 0o777 == 0o700


def test_what_the_compiler_says_is_passed_on(cache: Path) -> None:
    with pytest.raises(BackendError, match=r"(?s)refuses a generated kernel.*--no-kernels: .*error"):
        build.build("int broken(void) { return }\n")
    assert not list(cache.iterdir())


def test_without_a_compiler_the_error_says_what_to_do(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "compiler", lambda: None)
    with pytest.raises(BackendError, match="no C compiler: install one, or set CC"):
        build.build(TEXT)
    assert not cache.exists()


def test_many_processes_may_build_the_same_library_at_once(cache: Path) -> None:
    # the module alone: importing torch takes longer than compiling
    script = f"import runpy; assert runpy.run_path({build.__file__!r})['build']({TEXT!r}).answer() == 42"
    running = [subprocess.Popen([sys.executable, "-c", script]) for _ in range(4)]
    assert [process.wait(timeout=120) for process in running] == [0] * 4
    assert {path.suffix for path in cache.iterdir()} == {".c", ".so"}
    assert len(list(cache.iterdir())) == 2
