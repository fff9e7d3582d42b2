"""Shipped specs as tests run them: large ones with the same parts, but small."""

from typing import Final

import hrmsearch as hs
from hrmsearch.spec.model import Spec

_LEVELS: Final = [
    f"model.core.levels.{level}.{field}" for level in "LH" for field in ("layers=1", "block.mixer.heads=2")
]
_SMALL: Final = [
    "model.dim=16",
    "nest.passes=2",
    "model.defaults.ffn.width=16",
    "task.size=4",
    "task.window=16",
    "task.givens=6",
    "train.precision=float32",
]
_PREFIXED: Final = [*_SMALL, "model.memory[0].width=24"]
#: boards of ARC have 900 cells
_ON_SUDOKU: Final = ["task={kind: sudoku, size: 4, givens: 6}", "model.memory[0].width=24", "nest.passes=2"]
_OVER_POSITIONS: Final = [
    f"model.core.levels.{level}.{field}" for level in "LH" for field in ("layers=1", "block.mixer.width=12")
]
_SMALLER: Final = {
    "hrm_act_v1": [*_PREFIXED, *_LEVELS],
    "trm": [*_PREFIXED, *_LEVELS],
    "trm_mlp": [*_PREFIXED, *_OVER_POSITIONS],
    "sudoku9": [*_SMALL, *_LEVELS],
    "arc": _ON_SUDOKU,
    "maze_hard": ["task={kind: sudoku, size: 4, givens: 6}", *_SMALL, *_LEVELS],
}


def brief(name: str, *overrides: str) -> Spec:
    """Return a shipped spec, as small as a test wants it: a large one by what is known of it, others by overrides."""
    return hs.load(name, _SMALLER.get(name, overrides))
