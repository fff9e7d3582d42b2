"""hrmsearch: a compiler for small recursive models, with proofs before training and fair comparison after it."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hrmsearch.analyses import cost as cost
    from hrmsearch.analyses import validate as validate
    from hrmsearch.lowering import lower as lower
    from hrmsearch.lowering import lower_block as lower_block
    from hrmsearch.runtime import compile as compile
    from hrmsearch.spec.load import load as load
    from hrmsearch.spec.load import loads as loads
    from hrmsearch.spec.load import render as render
    from hrmsearch.testing import check as check
    from hrmsearch.train import load_run as load_run

# names are imported when first used, so that the command line starts fast
_HOME = {
    "check": "hrmsearch.testing",
    "compile": "hrmsearch.runtime",
    "cost": "hrmsearch.analyses",
    "load": "hrmsearch.spec.load",
    "load_run": "hrmsearch.train",
    "loads": "hrmsearch.spec.load",
    "lower": "hrmsearch.lowering",
    "lower_block": "hrmsearch.lowering",
    "render": "hrmsearch.spec.load",
    "validate": "hrmsearch.analyses",
}
__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'hrmsearch' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
