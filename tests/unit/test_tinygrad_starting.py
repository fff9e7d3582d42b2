"""A spec's kernels on a device that is not here: which ones, for what, and nothing left behind."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import hrmsearch as hs
from hrmsearch.cli.app import app

pytest.importorskip("tinygrad", reason="tinygrad is not installed")

from tinygrad.uop import Ops

from hrmsearch import passes
from hrmsearch.ir import Graph, Lifetime
from hrmsearch.runtime import Array, Options, Pass, load_backend
from hrmsearch.train import RunOptions
from hrmsearch.train.compiling import options_for
from hrmsearch.train.probing import blank_spans
from hrmsearch_tinygrad import TinygradExecutable
from hrmsearch_tinygrad.devices import devices
from hrmsearch_tinygrad.kernels import generate, renderer_of
from hrmsearch_tinygrad.starting import Counter, record

TINY = ("model.dim=8", "model.defaults.ffn.width=8", "model.core.levels.L.block.mixer.heads=2", "task.window=4")
needs_cpu = pytest.mark.skipif("not found" in devices()["CPU"], reason=devices()["CPU"])


def invoke(*arguments: str) -> Result:
    overrides = [word for one in TINY for word in ("--set", one)]
    chosen = ["--backend", "tinygrad", "--kernels", "--batch", "2", *arguments]
    return CliRunner().invoke(app, ["compile", "transformer", *overrides, *chosen])


def tiny() -> tuple[Graph, Options]:
    spec = hs.load("transformer", TINY)
    return passes.run(hs.lower(spec)), options_for(spec, hs.lower(spec), RunOptions())


def test_the_kernels_of_a_step_are_those_that_were_reviewed(golden: Callable[[str, str], None]) -> None:
    done = invoke("--device", "metal")
    assert done.exit_code == 0, done.output
    comment, *_ = done.stdout.partition("\n\n")
    functions = [line for line in done.stdout.splitlines() if line.startswith("kernel void ")]
    names = {line.split()[2] for line in comment.splitlines() if " groups of " in line}
    assert {line.split()[2].partition("(")[0] for line in functions} == names
    assert len(functions) == len(names)
    golden("kernels.metal.txt", comment + "\n")


def test_a_precision_that_the_device_lacks_is_refused() -> None:
    done = invoke("--device", "metal", "--set", "train.precision=float64")
    assert (done.exit_code, done.stderr) == (
        2,
        "hrmsearch: device 'metal' has no float64; use float32 or another device\n",
    )


def test_a_device_that_is_not_used_is_refused() -> None:
    done = invoke("--device", "amd")
    assert (done.exit_code, done.stderr) == (
        2,
        "hrmsearch: device 'amd': hrmsearch runs tinygrad on CPU, CUDA, METAL, or auto\n",
    )


@needs_cpu
def test_a_model_runs_right_after_its_kernels_were_written() -> None:
    graph, options = tiny()
    tokens = np.arange(8, dtype=np.int32).reshape(2, 4)
    assert record(graph, options, blank_spans(graph, 2, 4), "CPU")["forward pass"]
    logits: list[Array] = []
    for backend in ("tinygrad", "reference"):
        executable = load_backend(backend).compile(graph, Options())
        outputs, _ = executable.forward(Pass({"tokens": tokens}, Lifetime.STREAM), executable.init_carry(2, 4))
        logits.append(outputs["logits"])
    np.testing.assert_allclose(*logits, rtol=0, atol=2e-5 * np.abs(logits[1]).max())


@needs_cpu
@pytest.mark.slow
def test_what_is_written_for_a_device_is_what_runs_there() -> None:
    graph, options = tiny()
    spans = blank_spans(graph, 2, 4)
    written = generate(record(graph, options, spans, "CPU"), renderer_of("CPU"))["train step"]
    counter = Counter()
    executable = TinygradExecutable(graph, options, replay=counter)
    executable.train_step(spans[0], executable.init_carry(2, 4), 1e-3)
    assert counter.take() == len(written)
    ran = {text for jit in counter.captured.values() for text in nameless_programs(jit)}
    assert {nameless("\n".join([*kernel.prelude, kernel.source]), kernel.name) for kernel in written} == ran


def nameless_programs(jit: Any) -> Iterator[str]:
    """Yield the source of every program that a TinyJit runs."""
    for program in jit.captured.linear.toposort():
        if program.op is Ops.PROGRAM:
            (source,) = (part.arg for part in program.src if part.op is Ops.SOURCE)
            yield nameless(source.strip(), program.arg.function_name)


def nameless(source: str, name: str) -> str:
    return source.replace(f" {name}(", " f(", 1)
