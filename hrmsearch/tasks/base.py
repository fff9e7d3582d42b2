"""What a task is: a part of the spec that lowering reads without data, and that loads its data on demand."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from hrmsearch.errors import DataError
from hrmsearch.losses.base import IGNORE as IGNORE
from hrmsearch.spec.registry import Kind
from hrmsearch.tasks.drawing import Drawing

Ids = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Split:
    """Windows of one split in document order: `tokens` and the `targets` they predict, both i32[N, W].

    puzzles: i32[N], which puzzle each window is of, where a task has puzzles. stream: how many windows each stream
    has; None where the split is one stream.
    """

    tokens: Ids
    targets: Ids
    puzzles: Ids | None = None
    stream: int | None = None

    def __post_init__(self) -> None:
        if self.tokens.shape != self.targets.shape or self.tokens.ndim != 2:
            raise DataError(f"tokens {self.tokens.shape} and targets {self.targets.shape} must both be [N, W]")
        if self.puzzles is not None and self.puzzles.shape != self.tokens.shape[:1]:
            raise DataError(f"puzzles {self.puzzles.shape} must be [N] for {len(self.tokens)} windows")
        if self.stream is not None and len(self.tokens) % self.stream:
            raise DataError(f"{len(self.tokens)} windows make no whole streams of {self.stream}")
        for array in (self.tokens, self.targets, self.puzzles):
            if array is not None:
                array.setflags(write=False)

    def rows(self, which: Any) -> dict[str, Ids]:
        """Return some of the windows, as the inputs that graphs know them by."""
        found = {"tokens": self.tokens[which], "targets": self.targets[which]}
        return found if self.puzzles is None else {**found, "puzzle": self.puzzles[which]}

    @classmethod
    def of_text(cls, ids: Ids, window: int, place: str) -> "Split":
        """Cut i32[n] ids into (n - 1) // window windows that do not overlap; each id is predicted by those before it.

        Raises DataError, which begins with `place`, when there is not one window.
        """
        count = (len(ids) - 1) // window
        if count < 1:
            raise DataError(
                f"{place}: {len(ids)} characters hold no window of {window}; at least {window + 1} are needed"
            )
        end = count * window
        return cls(ids[:end].reshape(count, window), ids[1 : end + 1].reshape(count, window))

    @property
    def window(self) -> int:
        """Tokens in a window, W."""
        return self.tokens.shape[1]

    @property
    def text(self) -> Ids | None:
        """The i32[n] ids that `of_text` cuts into these windows; None where no running text gives them."""
        tokens, targets = self.tokens, self.targets
        inside = np.array_equal(tokens[:, 1:], targets[:, :-1])
        if not inside or not np.array_equal(tokens[1:, 0], targets[:-1, -1]):
            return None
        return np.append(tokens, targets[-1, -1])

    @property
    def judged(self) -> int:
        """Number of targets that count."""
        return int(np.count_nonzero(self.targets != IGNORE))

    def __len__(self) -> int:
        return len(self.tokens)


@dataclass(frozen=True, slots=True)
class Control:
    """A result that needs no neural model, to hold models against: `metrics[split][metric]`."""

    name: str
    about: str
    metrics: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class TaskData:
    """Loaded data: splits by name, and where they came from, ready for a manifest.

    `valid` chooses; `test` and any further ones are scored once, at the end. `headline` is one line for people,
    `provenance` the whole story in JSON values.
    """

    splits: Mapping[str, Split]
    provenance: dict[str, Any]
    headline: str

    @property
    def train_rows(self) -> Sequence[int]:
        """How many windows each section of an epoch has; every epoch has the same."""
        return [len(self.splits["train"])]

    @property
    def stream(self) -> int | None:
        """How many windows each stream has; None where a split is one stream."""
        return None

    @property
    def train_window(self) -> int:
        """Tokens in the longest window that is trained on."""
        return self.splits["train"].window

    def train(self, seed: int, epoch: int) -> Sequence[Split]:
        """Return what an epoch, from 0, of the run with a seed trains on: sections of equal windows, each a split."""
        del seed, epoch  # a text is the same in every epoch
        return [self.splits["train"]]

    def rows_at_once(self, split: str, batch: int) -> int:
        """Return how many rows of a split to score at a time: `batch`, or fewer where they are longer than in training.

        A batch of them then holds no more tokens than one of training.
        """
        return max(1, min(batch, batch * self.train_window // self.splits[split].window))

    def controls(self) -> Sequence[Control]:
        """Return the controls of this task; computed when asked, since they may take seconds."""
        return ()


class Task(Kind, family="task"):
    """The data a model is trained on; the base of every task kind.

    A task of one fixed window narrows the field: `window: Literal[81] = 81`. `loader` names an entry of
    `hrmsearch.tasks.loaders`.
    """

    window: PositiveInt
    loader: str

    @property
    @abstractmethod
    def vocabulary(self) -> int:
        """Number of symbols in inputs and logits, C."""

    @property
    @abstractmethod
    def causal(self) -> bool:
        """Whether the output at a token may depend on no later token."""

    @property
    def metrics(self) -> tuple[str, ...]:
        """What a model is judged by beside the loss, of `hrmsearch.tasks.judging`; tables lead with the first."""
        return ("ppl", "bpc")

    @property
    def criterion(self) -> str:
        """The metric on valid that chooses the best epoch, or `loss`."""
        return "loss"

    @property
    def answers(self) -> bool:
        """Whether a model is judged by the classes it finds likeliest, so that its graph has to name them.

        Targets that do not count are then IGNORE.
        """
        return False

    @property
    def renews(self) -> bool:
        """Whether every epoch has training windows of its own."""
        return False

    @property
    def puzzles(self) -> int:
        """How many puzzles there are to tell apart; each row then has the number of its own, from 0."""
        return 0

    @property
    def bottleneck(self) -> bool:
        """Whether the answers at all tokens have to come from one position, so that the head may read no other."""
        return False

    @property
    def drawing(self) -> Drawing | None:
        """How people see a row; None where it is no puzzle on a board."""
        return None

    @property
    def takes_votes(self) -> bool:
        """Whether a metric takes all rows of a split together; see `voted`."""
        return False

    def voted(self, split: Split, predicted: NDArray[Any]) -> Mapping[str, float]:
        """Return metrics that take all rows of a split together, of i32[N, W] predictions in its order."""
        del split, predicted
        return {}

    @abstractmethod
    def load(self) -> TaskData:
        """Read or create the data; raises DataError when they cannot be had."""
