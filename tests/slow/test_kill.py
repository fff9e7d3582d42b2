"""A run that is killed and resumed ends as one that never was: SIGKILL at 20 moments, two inside a checkpoint write."""

import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from hrmsearch import files
from hrmsearch.spec.model import Spec
from tests.training import Dying, Heard, die, outcome, tiny, train

pytest.importorskip("torch")
pytestmark = pytest.mark.slow

MOMENTS = 18
CHANGES = ("model.defaults.dropout=0.1", "train.ema=0.9", "train.accumulate=2", "train.batch=2", "train.epochs=3")


def spec() -> Spec:
    return tiny(*CHANGES, "train.checkpoint=0")


def killed_at(out: Path, step: int, delay: float) -> None:
    train(spec(), out, Dying(step, delay))


def killed_in_write(out: Path, write: int) -> None:
    """Train, and die when half of the bytes of a checkpoint are written."""
    fsync: Callable[[int], None] = os.fsync
    seen = 0

    def dying(descriptor: int) -> None:
        nonlocal seen
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        seen += path.endswith("checkpoint.safetensors.part")
        if seen == write and path.endswith(".part"):
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            die()
        fsync(descriptor)

    files.os.fsync = dying
    train(spec(), out)


def killed_before_rename(out: Path, write: int) -> None:
    """Train, and die when a checkpoint is written but not yet in place."""
    replace = os.replace
    seen = 0

    def dying(source: Path, target: Path) -> None:
        nonlocal seen
        seen += target.name == "checkpoint.safetensors"
        if seen == write:
            die()
        replace(source, target)

    files.os.replace = dying  # pyright: ignore[reportAttributeAccessIssue]
    train(spec(), out)


def resumed(out: Path) -> None:
    train(spec(), out, resume=True)


def in_process(target: Callable[..., None], *arguments: object) -> int | None:
    """Run a function in a process of its own and return how it ended; the imports are done once for all of them."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hrmsearch_torch", "tests.training"])
    process = context.Process(target=target, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def test_a_killed_run_resumes_to_the_same_end(tmp_path: Path) -> None:
    heard = Heard()
    whole = train(spec(), tmp_path / "whole", heard)
    steps = heard.steps()[-1].step
    rng = random.Random(0)
    kills = [(killed_at, (rng.randint(1, steps), rng.uniform(0, 0.04))) for _ in range(MOMENTS)]
    kills += [(killed_in_write, (rng.randint(1, 15),)), (killed_before_rename, (rng.randint(2, 15),))]
    for i, (kill, arguments) in enumerate(kills):
        out = tmp_path / str(i)
        assert in_process(kill, out, *arguments) == -signal.SIGKILL
        assert in_process(resumed, out) == 0, (kill.__name__, arguments)
        assert outcome(out / "tiny" / "seed-0") == outcome(whole.run_dir), (kill.__name__, arguments)
