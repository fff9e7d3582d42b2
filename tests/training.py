"""Tiny runs for tests of training: a spec that trains in a moment, watchers that stop it, and what to compare."""

import json
import os
import signal
from pathlib import Path
from threading import Timer
from typing import Any

import hrmsearch as hs
from hrmsearch.spec.model import Spec
from hrmsearch.train import EpochDone, RunOptions, SeedResult, SeedStarted, Silent, Step, run

TEXT = """
spec: 1
name: tiny
model:
  dim: 4
  init: {normal: 0.3}
  defaults: {ffn: {kind: swiglu, width: 4}}
  memory: [{at: input, kind: infini, heads: 2, lifetime: stream, commit: last_pass}]
  core:
    kind: hrm
    inject: [L]
    levels:
      L: {period: 1, block: {kind: transformer, mixer: {kind: attention, heads: 2}}}
      H: {period: 2, block: {kind: transformer, mixer: {kind: attention, heads: 2}}}
  head: {kind: lm, read: H}
nest: {passes: 2}
task: {kind: char_lm, corpus: pydoc, train_chars: 140, valid_chars: 30, test_chars: 40, window: 6, loader: contiguous}
train: {optimizer: {kind: adamw, lr: 1.0e-3}, batch: 4, epochs: 2, checkpoint: 1.0e+9}
accept: {HS101: drawn nests leak, HS102: drawn gradients stop short, HS103: drawn loaders shuffle}
"""


def tiny(*overrides: str) -> Spec:
    """Return the tiny spec with overrides."""
    return hs.loads(TEXT, "tiny.yaml", overrides)


def train(spec: Spec, out: Path, watcher: Silent | None = None, *, resume: bool = False) -> SeedResult:
    """Train the first seed of a spec with torch."""
    return run(spec, RunOptions(out=out, resume=resume), watcher or Silent())[0]


class Heard(Silent):
    """Writes down what it hears."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.texts: list[str] = []

    def headline(self, text: str) -> None:
        self.texts.append(text)

    def note(self, text: str) -> None:
        self.texts.append(text)

    def started(self, event: SeedStarted) -> None:
        self.events.append(event)

    def step(self, event: Step) -> None:
        self.events.append(event)

    def epoch(self, event: EpochDone) -> None:
        self.events.append(event)

    def stopped_early(self, seed: int, epoch: int, best_epoch: int) -> None:
        self.texts.append(f"seed {seed} stopped early after {epoch}, best {best_epoch}")

    def steps(self) -> list[Step]:
        return [event for event in self.events if isinstance(event, Step)]

    def epochs(self) -> list[EpochDone]:
        return [event for event in self.events if isinstance(event, EpochDone)]


class Stopping(Silent):
    """Breaks off at a step, as a bug or a second Ctrl-C would: nothing is saved on the way out."""

    def __init__(self, at: int) -> None:
        self.at = at

    def step(self, event: Step) -> None:
        if event.step == self.at:
            raise KeyboardInterrupt


class Dying(Silent):
    """Kills its process a little after a step, from another thread."""

    def __init__(self, at: int, delay: float) -> None:
        self.at = at
        self.delay = delay

    def step(self, event: Step) -> None:
        if event.step == self.at:
            Timer(self.delay, die).start()


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def outcome(folder: Path) -> dict[str, Any]:
    """Return all of a finished run that must be the same bit for bit however often it was interrupted."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    manifest = json.loads((folder / "manifest.json").read_text())
    return {
        "lines": [{key: value for key, value in line.items() if key != "seconds"} for line in lines],
        "metrics": manifest["metrics"],
        "halted": manifest.get("halted"),
        "status": manifest["status"],
        "weights": (folder / "model.safetensors").read_bytes(),
        "files": sorted(path.name for path in folder.iterdir()),
    }
