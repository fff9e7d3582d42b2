"""Multi-query associative recall: key-value pairs, then some of the keys again, each to be answered by its value.

Arora et al. 2023, arXiv:2312.04927 (HazyResearch/zoology, zoology/data/multiquery_ar.py). A row is k v k v ... with
distinct keys from 1 to C/2 - 1 and distinct values from C/2 to C - 1, and then every key once more, at even distances
g from the pairs' end, drawn without replacement with probability proportional to (g/2 + 1)^(power - 1). The target at
such a query is the key's value; nothing else is judged. What is no pair and no query is token 0, or random.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from hrmsearch.spec.problems import FieldProblem
from hrmsearch.spec.registry import Part
from hrmsearch.tasks.base import IGNORE, Ids, Split
from hrmsearch.tasks.generated import Generated
from hrmsearch.tasks.words import Words


class Recall(Part):
    """Rows of `length` tokens that hold `pairs` pairs and as many queries."""

    length: int = Field(ge=4, multiple_of=2)
    pairs: PositiveInt
    rows: PositiveInt

    @property
    def tokens(self) -> int:
        """Tokens in a row."""
        return self.length

    @property
    def name(self) -> str:
        """What published settings are called: `64x4`."""
        return f"{self.length}x{self.pairs}"


Mix = tuple[Recall, ...]


def _zoology(length: int, pairs: int) -> Mapping[str, Any]:
    """Return a setting of Zoology's figure 2: one length, and a training set that stays the same."""
    size = {"length": length, "pairs": pairs}
    held = [{**size, "rows": 3_000}]
    return {"window": length, "train": [{**size, "rows": 100_000}], "valid": held, "test": held, "fresh": False}


def _mix(rows: int, sizes: Sequence[tuple[int, int]]) -> list[dict[str, int]]:
    return [{"length": length, "pairs": pairs, "rows": rows} for length, pairs in sizes]


_BASED_TRAIN = [(128, 8), (256, 16), (256, 32), (256, 64)]
_BASED_TEST = [(64, 4), (64, 8), (64, 16), (128, 32), (256, 64), (512, 128), (1024, 256)]


class Mqar(Generated):
    """Recall of values by their keys, in mixtures of lengths.

    vocab: tokens, half of them keys and half values (C). power: of the distances between pair and query; 1 is uniform.
    fill: what stands between queries. Several test mixtures are scored apart, each as `LENGTHxPAIRS`.
    """

    kind: Literal["mqar"] = "mqar"
    window: PositiveInt = 64
    vocab: int = Field(default=8_192, ge=4, multiple_of=2)
    train: Mix = Field(default=(Recall(length=64, pairs=4, rows=100_000),), min_length=1)
    valid: Mix = Field(default=(Recall(length=64, pairs=4, rows=3_000),), min_length=1)
    test: Mix = Field(default=(Recall(length=64, pairs=4, rows=3_000),), min_length=1)
    power: PositiveFloat = 0.01
    fill: Literal["zeros", "random"] = "zeros"
    presets: ClassVar = {
        **{f"{length}x{pairs}": _zoology(length, pairs) for length, pairs in ((64, 4), (128, 8), (256, 16), (512, 64))},
        "based": {
            "window": 1_024,
            "train": [*_mix(100_000, [(64, 4)]), *_mix(20_000, _BASED_TRAIN)],
            "valid": _mix(1_000, [(64, 4), *_BASED_TRAIN]),
            "test": _mix(1_000, _BASED_TEST),
            "fill": "random",
            "fresh": False,
        },
        "small": {
            "vocab": 128,
            "window": 32,
            "train": _mix(4_096, [(32, 4)]),
            "valid": _mix(512, [(32, 4)]),
            "test": _mix(1_024, [(32, 4)]),
        },
    }

    @model_validator(mode="after")
    def _rows_hold_their_pairs(self) -> Self:
        mixes = {"train": self.train, "valid": self.valid, "test": self.test}
        for split, mix in mixes.items():
            for i, part in enumerate(mix):
                self._check(part, split, i)
        names = [part.name for part in self.test]
        for i, name in enumerate(names):
            if name in names[:i]:
                raise FieldProblem(f"{name} occurs twice; its rows belong together", "test", i)
        return self

    def _check(self, part: Recall, split: str, i: int) -> None:
        if part.length > self.window:
            raise FieldProblem(f"{part.length} tokens do not fit the window of {self.window}", split, i, "length")
        if 4 * part.pairs > part.length:
            message = f"{part.pairs} pairs and their queries need {4 * part.pairs} tokens, more than {part.length}"
            raise FieldProblem(message, split, i, "pairs")
        if part.pairs >= self.vocab // 2:
            message = f"{part.pairs} pairs need as many keys, and a vocab of {self.vocab} has {self.vocab // 2 - 1}"
            raise FieldProblem(message, split, i, "pairs")

    @property
    def vocabulary(self) -> int:
        """Tokens, C."""
        return self.vocab

    @property
    def causal(self) -> bool:
        """True: a query follows its pair."""
        return True

    def sections(self) -> Mapping[str, Sequence[Recall]]:
        """Return the mixtures by split."""
        tests = {"test": self.test} if len(self.test) == 1 else {part.name: (part,) for part in self.test}
        return {"train": self.train, "valid": self.valid, **tests}

    def draw(self, words: Words, section: Recall, split: str, rows: int) -> tuple[Ids, Ids]:
        """Return rows of pairs and queries, and the values at the queries."""
        del split
        half, context = self.vocab // 2, 2 * section.pairs
        keys = 1 + words.distinct(half - 1, rows, section.pairs)
        values = half + words.distinct(self.vocab - half, rows, section.pairs)
        places = np.arange(1, (section.length - context) // 2 + 1, dtype=np.float64)
        queries = context + 2 * words.weighted(places ** (self.power - 1.0), rows, section.pairs)
        tokens = np.zeros((rows, section.length), np.int32)
        tokens[:, 0:context:2], tokens[:, 1:context:2] = keys, values
        np.put_along_axis(tokens, queries, keys.astype(np.int32), axis=1)
        targets = np.full_like(tokens, IGNORE)
        np.put_along_axis(targets, queries, values.astype(np.int32), axis=1)
        if self.fill == "random":
            tokens = np.where(tokens == 0, words.below(self.vocab, *tokens.shape), tokens).astype(np.int32)
        return tokens, targets

    def guesses(self, split: Split) -> Mapping[str, Mapping[str, float]]:
        """Return what answering with a random value of the row achieves on average: one in as many as it has pairs."""
        pairs: NDArray[np.int64] = (split.targets != IGNORE).sum(axis=1, dtype=np.int64)
        exact = float(np.mean((1.0 / pairs) ** pairs))
        return {"value of the row": {"accuracy": len(pairs) / int(pairs.sum()), "exact": exact}}
