"""tinygrad's devices: named in any case, refused in one line, and never chosen against the user's environment."""

# parts of tinygrad are unannotated
# pyright: reportUnknownMemberType=false

import sys
from pathlib import Path

import pytest

from hrmsearch.errors import BackendError

pytest.importorskip("tinygrad", reason="tinygrad is not installed")

from tinygrad.device import Device
from tinygrad.helpers import DEV, Context
from tinygrad.tensor import Tensor

from hrmsearch_tinygrad.devices import NAMES, as_default, devices, pick

NO_CLANG = "clang was not found: tinygrad's CPU device needs it; apt-get install clang"
needs_cpu = pytest.mark.skipif(devices()["CPU"] == NO_CLANG, reason=NO_CLANG)


@needs_cpu
@pytest.mark.parametrize("name", ["cpu", "CPU", "Cpu", "cpu:0"])
def test_a_device_is_named_in_any_case(name: str) -> None:
    assert pick(name, "float32") == "CPU"


@needs_cpu
def test_auto_is_the_device_that_the_environment_names() -> None:
    with Context(DEV="CPU:CLANG"):
        assert pick("auto", "float32") == "CPU"
    with Context(DEV="NULL"), pytest.raises(BackendError, match=r"^device 'auto \(DEV=NULL\)': hrmsearch runs"):
        pick("auto", "float32")


@needs_cpu
def test_a_device_without_the_precision_is_refused() -> None:
    with Context(DEV="CPU:X86"), pytest.raises(BackendError, match=r"^device 'cpu' has no bfloat16; use float32 or"):
        pick("cpu", "bfloat16")


@needs_cpu
@pytest.mark.parametrize("knows", [True, False])
def test_a_compiler_too_old_for_the_precision_is_refused_and_described(
    knows: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert Device["CPU"].renderer  # opened with the compiler that is here
    compiler = tmp_path / "clang-of-a-test"
    compiler.write_text(f"#!/bin/sh\nexit {0 if knows else 1}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CC", str(compiler))
    assert ("bfloat16" in devices()["CPU"]) == knows
    if knows:
        assert pick("cpu", "bfloat16") == "CPU"
    else:
        with pytest.raises(BackendError, match=rf"^device 'cpu' has no bfloat16: {compiler} is too old; use float32"):
            pick("cpu", "bfloat16")


def test_every_device_is_described_or_refused_in_one_line() -> None:
    said = devices()
    assert sorted(said) == sorted(NAMES)
    assert all(text and "\n" not in text for text in said.values())


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has Metal")
def test_a_device_that_is_not_here_is_one_message() -> None:
    with pytest.raises(BackendError, match=r"^device 'metal': unavailable: only macOS has Metal; available: "):
        pick("metal", "float32")


@pytest.mark.parametrize("name", ["AMD", "nonsense", ""])
def test_other_devices_are_refused_with_those_that_are_used(name: str) -> None:
    with pytest.raises(BackendError, match=rf"^device '{name}': hrmsearch runs tinygrad on CPU, CUDA, METAL, or auto$"):
        pick(name, "float32")


@needs_cpu
@pytest.mark.parametrize("index", ["1", "-1", "x"])
def test_an_index_beyond_the_devices_is_refused(index: str) -> None:
    with pytest.raises(BackendError, match=r"CPU has 1 here, counted from 0$"):
        pick(f"cpu:{index}", "float32")


def test_a_missing_clang_names_the_package_even_where_tinygrad_has_its_helpers_cached(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert devices()["CPU"] == NO_CLANG
    with pytest.raises(BackendError, match=r"^device 'CPU': clang was not found"):
        pick("CPU", "float32")


def test_the_default_device_changes_within_the_context_only_and_is_not_opened() -> None:
    before = repr(DEV)
    with as_default("METAL"):
        assert Tensor.empty(2).device == Device.DEFAULT == "METAL"
    assert repr(DEV) == before


def test_the_default_device_keeps_the_renderer_that_the_user_chose() -> None:
    with Context(DEV="CPU:X86"), as_default("CPU"):
        assert DEV.target("CPU").renderer == "X86"
    with Context(DEV="CPU:X86"), as_default("CUDA:1"):
        assert Tensor.empty(2).device == "CUDA:1"
        assert DEV.target("CPU").renderer == "X86"
