"""Tiny studies for tests: arms that lower and train in a moment."""

from collections.abc import Callable
from pathlib import Path

from hrmsearch.spec.model import Spec
from hrmsearch.study.arms import Study
from hrmsearch.study.board import Board, Item, create
from hrmsearch.study.contract import contract
from hrmsearch.study.leases import Leases
from hrmsearch.study.load import loads_study
from hrmsearch.study.outcomes import Outcome
from hrmsearch.study.running import Runner
from hrmsearch.study.storage import open_storage
from hrmsearch.study.training import Candidate, Work
from hrmsearch.study.workers import Worker
from hrmsearch.train.interrupting import Wish

ARM = """\
spec: 1
name: {name}
model:
  dim: 4
  init: {{normal: 0.3}}
  defaults: {{ffn: {{kind: swiglu, width: 4}}}}
  core:
    kind: hrm
    inject: [L]
    state: {{lifetime: pass}}
    levels:
      L: {{period: 1, block: {{kind: transformer, mixer: {{kind: attention, heads: {heads}, causal: {causal}}}}}}}
  head: {{kind: lm, read: L}}
task: {{kind: char_lm, corpus: pydoc, train_chars: 140, valid_chars: 30, test_chars: 40, window: 6}}
train: {{optimizer: {{kind: adamw, lr: 1.0e-3}}, batch: 4, epochs: 2, checkpoint: 1.0e+9}}
"""

STUDY = """\
study: tiny
arms: {a: a.yaml, b: b.yaml}
control: a
search:
  train.optimizer.lr: {log: [1.0e-4, 1.0e-1]}
objectives: {valid.bpc: min}
trials: 3
seeds: 2
"""


def write_arms(folder: Path) -> None:
    """Write the arms `a` and `b`, and `leaky`, which no analysis lets pass."""
    for name, heads, causal in (("a", 2, "true"), ("b", 1, "true"), ("leaky", 1, "false")):
        (folder / f"{name}.yaml").write_text(ARM.format(name=name, heads=heads, causal=causal))


def tiny_study(folder: Path, *overrides: str, text: str = STUDY) -> Study:
    """Return the tiny study with overrides; its arms are written to the folder."""
    write_arms(folder)
    return loads_study(text, str(folder / "study.yaml"), overrides)


def board_of(study: Study, folder: Path, url: str | None = None) -> Board:
    """Return the board of a fresh study, by default in a journal in a folder."""
    agreed = contract(study, "torch", "cpu", folder)
    return create(open_storage(url or str(folder / "journal.log")), agreed, resume=False)


def work_through(board: Board, work: Work, folder: Path, most: int | None = None) -> list[tuple[Item, Outcome]]:
    """Run a board's trials in this process, at most so many, and return what came of each in the order they ended."""
    ended: list[tuple[Item, Outcome]] = []
    wish = Wish()

    def heard(item: Item, outcome: Outcome | None) -> None:
        if outcome is not None:
            ended.append((item, outcome))
            if len(ended) == most:
                wish.signal = 15

    Worker(board, Leases(board), Runner(board, work, folder), wish, heard).work()
    return ended


class Pretends:
    """Work that trains nothing: valid bpc is a function of the spec and the seed; writes down what it was given."""

    def __init__(self, bpc: Callable[[Spec, int], float]) -> None:
        self.bpc = bpc
        self.seen: list[tuple[Item, Candidate, Spec]] = []

    def __call__(self, item: Item, candidate: Candidate) -> Outcome:
        spec = candidate.make()
        self.seen.append((item, candidate, spec))
        value = self.bpc(spec, candidate.seed)
        for epoch in candidate.prune.rungs(spec.train.epochs) if candidate.prune else ():
            if candidate.rung(epoch, {"bpc": value}):
                return Outcome(what="pruned", valid={"bpc": value}, epochs=epoch)
        return Outcome(what="trained", valid={"bpc": value}, sizes={"params": 100.0})
