"""Initial weights: one counter-based generator keyed by seed and path, so that every backend starts from the same bits.

A resolved rule is a JSON value: `"zeros"`, `"ones"`, `{"constant": c}`, `{"normal": std}`, `{"trunc_normal": std}`,
`{"uniform": [low, high]}`; or, the same in every row, the entries along the last axis: `{"values": [v, ...]}`, or
`{"linspace": [first, last]}` with equal steps.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from hrmsearch.errors import GraphError
from hrmsearch.ir.graph import Graph

# standard deviation of a unit normal cut at +-2: dividing by it makes the variance of the cut draw exact
_CUT_STD = 0.87962566103423978


def generator(seed: int, *key: str | int) -> np.random.Generator:
    """Return the Philox generator for a seed and a key; the same on every machine."""
    digest = hashlib.sha256("/".join(map(str, (seed, *key))).encode()).digest()
    return np.random.Generator(np.random.Philox(key=int.from_bytes(digest[:16], "little")))


def draw(rule: Any, shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return initial values under a resolved rule, in float64."""
    if rule == "zeros":
        return np.zeros(shape)
    if rule == "ones":
        return np.ones(shape)
    if not isinstance(rule, Mapping):
        raise GraphError(f"unknown initial rule {rule!r}")
    ((name, value),) = cast("Mapping[str, Any]", rule).items()
    if name == "constant":
        return np.full(shape, float(value))
    if name == "normal":
        return rng.normal(0.0, value, shape)
    if name == "trunc_normal":
        return _trunc_normal(shape, rng) * (value / _CUT_STD)
    if name == "uniform":
        return rng.uniform(value[0], value[1], shape)
    if name == "values":
        return np.broadcast_to(np.array(value, np.float64), shape).copy()
    if name == "linspace":
        first, last = map(float, value)
        return np.broadcast_to(np.linspace(first, last, shape[-1]), shape).copy()
    raise GraphError(f"unknown initial rule {rule!r}")


def _trunc_normal(shape: tuple[int, ...], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw unit normals cut at +-2, by redrawing what falls outside."""
    values = rng.normal(size=shape)
    while (outside := np.abs(values) > 2.0).any():
        values[outside] = rng.normal(size=int(outside.sum()))
    return values


def initial_params(graph: Graph, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return every parameter's initial value by path, in float64."""
    params: dict[str, NDArray[np.float64]] = {}
    for path, op in graph.params.items():
        shape = op.result.type.shape({})
        params[path] = draw(op.attrs["init"], shape, generator(seed, "init", path))
    return params
