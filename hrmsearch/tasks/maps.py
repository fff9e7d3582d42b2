"""Many small tasks in one: symbols and the values that one of several fixed maps gives them.

Ours. Rows of one map have the map in common and nothing else, so a model may learn what a map says once it knows which
map a row is of. A row tells that by and by, since it goes on with the right values; a table that is looked up by the
row's number tells it at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt, model_validator

from hrmsearch.spec.problems import FieldProblem
from hrmsearch.tasks.base import IGNORE, Ids, Split
from hrmsearch.tasks.generated import Generated
from hrmsearch.tasks.words import Words


@dataclass(frozen=True, slots=True)
class Rows:
    """So many rows of one length."""

    rows: int
    tokens: int


class Maps(Generated):
    """Values of symbols, by one of several random maps that stay the same; tokens do not say which.

    A row is s v s v ..., `pairs` distinct symbols, each with its value under the row's map; the target at a symbol is
    its value. Tokens 0 to `symbols` - 1 are symbols, then `values` values (C). The row's puzzle is its map. Which map
    a row has, and which symbols, is uniform; the maps follow from `seed`.
    """

    kind: Literal["maps"] = "maps"
    window: PositiveInt = 16
    maps: PositiveInt = 16
    symbols: PositiveInt = 16
    values: int = Field(default=8, ge=2)
    pairs: PositiveInt = 6
    train_rows: PositiveInt = 4_096
    valid_rows: PositiveInt = 512
    test_rows: PositiveInt = 1_024
    presets: ClassVar[Mapping[str, Mapping[str, object]]] = {"small": {"train_rows": 512, "fresh": False}}

    @model_validator(mode="after")
    def _rows_fit(self) -> Self:
        if self.pairs > self.symbols:
            raise FieldProblem(f"{self.pairs} pairs need as many symbols, and there are {self.symbols}", "pairs")
        if self._tokens > self.window:
            raise FieldProblem(f"rows have {self._tokens} tokens, more than the window of {self.window}", "pairs")
        return self

    @property
    def _tokens(self) -> int:
        return 2 * self.pairs

    @property
    def vocabulary(self) -> int:
        """Symbols and values."""
        return self.symbols + self.values

    @property
    def puzzles(self) -> int:
        """The maps."""
        return self.maps

    @property
    def causal(self) -> bool:
        """True: a value follows its symbol, at which it is to be told."""
        return True

    @cached_property
    def table(self) -> NDArray[np.int64]:
        """The value of every symbol under every map, [maps, symbols]."""
        return Words(self.seed, self.kind, "table").below(self.values, self.maps, self.symbols)

    def sections(self) -> Mapping[str, Sequence[Rows]]:
        """Return one section per split."""
        rows = {"train": self.train_rows, "valid": self.valid_rows, "test": self.test_rows}
        return {name: [Rows(count, self._tokens)] for name, count in rows.items()}

    def draw(self, words: Words, section: Rows, split: str, rows: int) -> tuple[Ids, Ids, Ids]:
        """Return rows, the values at their symbols, and the map of each."""
        del split
        which = words.below(self.maps, rows)
        symbols = words.distinct(self.symbols, rows, self.pairs)
        values = self.symbols + self.table[which[:, None], symbols]
        tokens = np.zeros((rows, section.tokens), np.int32)
        targets = np.full_like(tokens, IGNORE)
        tokens[:, ::2], tokens[:, 1::2] = symbols, values
        targets[:, ::2] = values
        return tokens, targets, which.astype(np.int32)

    def guesses(self, split: Split) -> Mapping[str, Mapping[str, float]]:
        """Return what one achieves who knows all maps, but of a row only what it has told so far."""
        right = self._from_the_row(split)
        return {"maps known, row read": {"accuracy": float(right.mean()), "exact": float(right.prod(axis=1).mean())}}

    def _from_the_row(self, split: Split) -> NDArray[np.float64]:
        """Return for every pair how likely the value is that most of the maps which are left give, [rows, pairs]."""
        symbols, values = split.tokens[:, ::2], split.tokens[:, 1::2] - self.symbols
        possible = np.ones((len(split), self.maps), np.bool_)
        found: list[NDArray[np.float64]] = []
        for i in range(symbols.shape[1]):
            given = self.table[:, symbols[:, i]].T
            votes = np.stack([(possible & (given == value)).sum(axis=1) for value in range(self.values)], axis=1)
            found.append(votes.max(axis=1) / votes.sum(axis=1))
            possible = possible & (given == values[:, i : i + 1])
        return np.stack(found, axis=1)
