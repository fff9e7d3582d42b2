"""Kernels of a device that is not here: those it would run, each once, in one file."""

# parts of tinygrad are unannotated
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import re
from collections.abc import Callable

import pytest

pytest.importorskip("tinygrad", reason="tinygrad is not installed")

from tinygrad.codegen import to_program
from tinygrad.device import Device
from tinygrad.dtype import dtypes
from tinygrad.engine.jit import JitError, TinyJit
from tinygrad.helpers import Context
from tinygrad.nn.optim import SGD
from tinygrad.tensor import Tensor
from tinygrad.uop import Ops

from hrmsearch_tinygrad.devices import as_default, available
from hrmsearch_tinygrad.kernels import RENDERERS, Kernel, capture, generate, launches, listing, renderer_of

DEFINED = re.compile(r"^extern .* (\w+)\(float", re.MULTILINE)


def linear_regression() -> Callable[[Tensor], Tensor]:
    """Return a train step of a linear map with two weights of one shape."""
    weights = [Tensor.empty(32, 32) for _ in range(2)]
    optimizer = SGD(weights, lr=0.1)

    def step(x: Tensor) -> Tensor:
        with Context(TRAINING=1):
            loss = ((x @ weights[0]).tanh() @ weights[1]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            return loss.realize(*optimizer.schedule_step())

    return step


def opened() -> set[str]:
    return set(Device._opened_devices)  # pyright: ignore[reportPrivateUsage]


def kernels(device: str) -> list[Kernel]:
    with as_default(device):
        step, x = linear_regression(), Tensor.empty(8, 32)
        capture(lambda: step(x))
        return generate({"step": capture(lambda: step(x))}, renderer_of(device))["step"]


@pytest.mark.parametrize("device", RENDERERS)
def test_a_train_step_is_printed_for_a_device_that_need_not_be_here(device: str) -> None:
    before = opened()
    printed = kernels(device)
    assert opened() - before <= {"PYTHON"}  # where Tensor([...]) keeps its numbers
    assert len(printed) > 4
    for kernel in printed:
        assert f" {kernel.name}(" in kernel.source
        assert len(kernel.groups) == len(kernel.threads) == 3


@pytest.mark.parametrize("device", available())
def test_what_is_printed_is_what_the_device_compiles(device: str) -> None:
    with as_default(device), Context(ALLOW_TF32=0):
        step, x = linear_regression(), Tensor.empty(8, 32)
        capture(lambda: step(x))
        for call in capture(lambda: step(x)):
            ours, theirs = (
                next(part.arg for part in to_program(call.src[0], renderer).src if part.op is Ops.SOURCE)
                for renderer in (renderer_of(device), Device[device].renderer)
            )
            assert ours == theirs


@pytest.mark.parametrize("device", available())
def test_a_compiled_step_launches_as_many_kernels_as_are_printed(device: str) -> None:
    with as_default(device):
        jit, x = TinyJit(linear_regression()), Tensor.ones(8, 32).contiguous().realize()
        assert launches(jit) == 0
        for _ in range(2):
            jit(x)
        assert launches(jit) == len(kernels(device))


def test_a_float32_product_uses_the_matrix_units_of_an_apple_gpu() -> None:
    text = listing("", {"step": kernels("METAL")})
    assert text.count("float2 __WMMA_8_8_8_float_float(") == 1
    assert "simdgroup_multiply_accumulate" in text


def test_the_environment_names_the_architecture() -> None:
    assert renderer_of("CUDA").target.arch == "sm_80"
    with Context(DEV="CUDA::sm_90;METAL::Apple6"):
        assert renderer_of("CUDA").target.arch == "sm_90"
        assert renderer_of("METAL").tensor_cores == []


def test_different_functions_have_different_names_and_equal_ones_are_printed_once() -> None:
    with as_default("CUDA"):
        x, y = Tensor.empty(64), Tensor.empty(64)
        calls = capture(lambda: [(x + 1).realize(), (x * 2).realize(), (y + 1).realize()])
        again = capture(lambda: (y * 2).realize())
        steps = generate({"first": calls, "second": again}, renderer_of("CUDA"))
    first, second = ([kernel.name for kernel in step] for step in steps.values())
    assert first == [first[0], f"{first[0]}n1", first[0]]
    assert second == [first[1]]
    text = listing("two steps", steps)
    assert DEFINED.findall(text) == first[:2]
    assert "// first: 3 launches of 2 kernels\n" in text
    assert "// second: 1 launches of 1 kernels\n" in text


def test_a_file_lists_launches_then_definitions_then_functions() -> None:
    printed = kernels("METAL")
    lines = listing("a title", {"step": printed}).splitlines()
    assert lines[:3] == ["// a title", "//", f"// step: {len(printed)} launches of {len({*printed})} kernels"]
    for line, kernel in zip(lines[3:], printed, strict=False):
        groups, threads = (" x ".join(map(str, sizes)) for sizes in (kernel.groups, kernel.threads))
        assert line.split() == f"// {line.split()[1]} {kernel.name} {groups} groups of {threads} threads".split()
    after = [line for line in lines if line.startswith(("#include", "using", "kernel"))]
    assert after[:2] == ["#include <metal_stdlib>", "using namespace metal;"]
    assert all(line.startswith("kernel void ") for line in after[2:])


def test_copies_between_devices_are_no_kernels() -> None:
    with as_default("METAL"):
        calls = capture(lambda: (Tensor([1.0, 2.0]) + Tensor.empty(2)).realize())
    assert [call.src[0].op for call in calls] == [Ops.COPY, Ops.SINK]
    assert len(generate({"step": calls}, renderer_of("METAL"))["step"]) == 1


def test_a_step_that_reads_a_tensor_cannot_be_captured() -> None:
    with as_default("METAL"), pytest.raises(JitError, match="cannot access tensor data"):
        capture(lambda: Tensor.empty(2, dtype=dtypes.int32).tolist())
    with as_default("METAL"):
        assert len(capture(lambda: (Tensor.empty(2) + 1).realize())) == 1
