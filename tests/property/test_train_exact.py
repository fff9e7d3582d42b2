"""Accumulation is the big batch, and an interrupted run ends as one that never stopped, whatever the nest."""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrmsearch.ir.checkpoint import read_arrays
from tests.training import Heard, Stopping, outcome, tiny, train

pytest.importorskip("torch")


@st.composite
def nests(draw: st.DrawFn) -> tuple[str, ...]:
    """Return overrides: a nest, a loader, and state that lives for any time, perhaps that of a mixer too."""
    passes = draw(st.integers(1, 3))
    span = draw(st.sampled_from(["{passes: 1}", f"{{passes: {passes}}}", "{windows: 1}", "{windows: 2}"]))
    step = "span" if "2}" in span and "windows" in span else draw(st.sampled_from(["span", "window"]))
    nest = f"nest={{passes: {passes}, backprop: {span}, step: {step}}}"
    state = draw(st.sampled_from(["pass", "window", "stream"]))
    commit = draw(st.sampled_from(["every_pass", "last_pass"]))
    loader = draw(st.sampled_from(["shuffled", "contiguous"]))
    cell = f"{{kind: slstm, heads: 2, lifetime: {state}, commit: {commit}}}"
    return (
        *draw(st.sampled_from([(), (f"model.core.levels.H.block.mixer={cell}",)])),
        nest,
        f"task.loader={loader}",
        f"model.core.state={{lifetime: {state}, commit: {commit}}}",
        f"model.memory[0].commit={commit}",
    )


@settings(max_examples=10)
@given(nests(), st.integers(1, 4), st.integers(2, 3), st.sampled_from(["none", "0.9"]))
def test_accumulated_micro_batches_equal_the_big_batch(nest: tuple[str, ...], micro: int, share: int, ema: str) -> None:
    # eps of 1: with the usual one, AdamW turns the sign of a rounding error into a step of full length
    exact = ("train.precision=float64", "train.optimizer={kind: adamw, lr: 0.1, eps: 1.0}", f"train.ema={ema}")
    found: list[dict[str, np.ndarray]] = []
    with TemporaryDirectory() as out:
        for i, (batch, accumulate) in enumerate([(micro, share), (micro * share, 1)]):
            spec = tiny(*nest, *exact, f"train.batch={batch}", f"train.accumulate={accumulate}")
            run = train(spec, Path(out) / str(i))
            found.append(read_arrays(run.run_dir / "model.safetensors"))
    for path, array in found[0].items():
        assert array.dtype == np.float64
        assert np.abs(array - found[1][path]).max() <= 1e-12, path


@settings(max_examples=8)
@given(
    nests(),
    st.sampled_from(["train.precision=float32", "train.precision=bfloat16"]),
    st.sampled_from(["model.defaults.dropout=0.0", "model.defaults.dropout=0.2"]),
    st.sampled_from(["train.ema=none", "train.ema=0.8"]),
    st.sampled_from(["train.schedule={kind: cosine, warmup: 3}", "train.accumulate=2"]),
    st.sampled_from(["train.epochs=3", "train.eval_interval=2"]),
    st.sampled_from(["train.checkpoint=0", "train.checkpoint=1.0e+9"]),
    st.data(),
)
def test_a_run_broken_off_anywhere_and_resumed_ends_as_if_it_had_not_been(
    nest: tuple[str, ...],
    precision: str,
    dropout: str,
    ema: str,
    more: str,
    interval: str,
    checkpoints: str,
    data: st.DataObject,
) -> None:
    changes = (*nest, precision, dropout, ema, more, "train.patience=1", "train.batch=3", "train.epochs=3", interval)
    with TemporaryDirectory() as folder:
        whole, broken = Path(folder) / "whole", Path(folder) / "broken"
        heard = Heard()
        expected = train(tiny(*changes), whole, heard)
        at = data.draw(st.integers(1, heard.steps()[-1].step), label="broken off at step")
        saved = tiny(*changes, checkpoints)
        with pytest.raises(KeyboardInterrupt):
            train(saved, broken, Stopping(at))
        found = train(saved, broken, resume=True)
        assert found.metrics == expected.metrics
        assert outcome(found.run_dir) == outcome(expected.run_dir)
