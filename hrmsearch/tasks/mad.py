"""MAD: six small tasks that each ask for one ability. The base of one file each.

Poli et al. 2024, arXiv:2403.17844 (athms/mad-lab, mad/data/instances.py, configs/tasks): a training set of 12,800 rows
that stays the same, 1,280 test rows, accuracy averaged over classes. Every task has a baseline and changes of one
setting at a time, here as presets. Ours: all draws come from words that the task's seed names (selective copying draws
from NumPy's global state there), a valid split of 1,280 more rows chooses the epoch (MAD has none), and the average
over classes is that of the whole split, not the mean of it over batches.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from pydantic import NonNegativeInt, PositiveInt

from hrmsearch.tasks.base import Ids
from hrmsearch.tasks.generated import Generated
from hrmsearch.tasks.words import Words

_NAMES = {"window": "length", "train_rows": "rows"}
FEWER_ROWS = (6_400, 3_200, 1_600, 800)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one length."""

    rows: int
    tokens: int


class Mad(Generated):
    """Rows of up to `window` tokens over a vocabulary of `vocab` (C); macro averages accuracy over classes."""

    idle: ClassVar[frozenset[str]] = frozenset({"loader", "best"})
    window: PositiveInt = 128
    vocab: int = 16
    train_rows: PositiveInt = 12_800
    valid_rows: PositiveInt = 1_280
    test_rows: PositiveInt = 1_280
    seed: NonNegativeInt = 12_345
    fresh: bool = False
    best: Literal["macro", "accuracy", "exact", "loss"] = "macro"

    @property
    def metrics(self) -> tuple[str, ...]:
        """What MAD reports, and beside it the share of right targets and of right rows."""
        return ("macro", "accuracy", "exact")

    @property
    def vocabulary(self) -> int:
        """Tokens, C."""
        return self.vocab

    @property
    def causal(self) -> bool:
        """True: every answer follows what it depends on."""
        return True

    @property
    def tokens(self) -> int:
        """Tokens in a row."""
        return self.window

    def sections(self) -> Mapping[str, Sequence[Rows]]:
        """Return one section per split."""
        rows = {"train": self.train_rows, "valid": self.valid_rows, "test": self.test_rows}
        return {name: [Rows(count, self.tokens)] for name, count in rows.items()}

    def draw(self, words: Words, section: Rows, split: str, rows: int) -> tuple[Ids, Ids]:
        """Return rows of a split."""
        return self.instances(words, rows, training=split == "train")

    @abstractmethod
    def instances(self, words: Words, rows: int, *, training: bool) -> tuple[Ids, Ids]:
        """Return tokens and targets, i32[rows, T] each."""


def baseline_and(**changes: Sequence[Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return presets: the baseline, which is every default, and one per value of one field: `vocab-32`."""
    found: dict[str, Mapping[str, Any]] = {"baseline": {}}
    for field, values in changes.items():
        found |= {f"{_NAMES.get(field, field)}-{value}": {field: value} for value in values}
    return found


def next_tokens(tokens: Ids, answers: Ids, *, training: bool) -> tuple[Ids, Ids]:
    """Return rows to be continued: in training every next token is a target, otherwise only the answers are.

    answers: i32[rows, T + 1], at the tokens themselves; what does not count is ignored.
    """
    return tokens[:, :-1], tokens[:, 1:] if training else answers[:, 1:]
