"""Tables of a graph: parameters and states by path, and what a pass costs in symbols and in numbers."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from hrmsearch.analyses import Cost
from hrmsearch.analyses.amount import Amount
from hrmsearch.analyses.cost import PassCost
from hrmsearch.ir import Graph, Op, moves
from hrmsearch.ir.types import Size
from hrmsearch.report.numbers import count, scaled, size
from hrmsearch.report.table import Table

_SUPERSCRIPTS = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def parameters(graph: Graph) -> int:
    """Return how many numbers the optimiser trains; shared ones count once."""
    return sum(_entries(op) for op in graph.params.values() if moves(op) == "trained")


def parameter_table(graph: Graph) -> Table:
    """Return the parameters in order of first use; those that the optimiser does not train are marked, not counted."""
    rows = [
        (path, _shape(op), _rule(op.attrs["init"]), moves(op).replace("trained", ""), count(_entries(op)))
        for path, op in graph.params.items()
    ]
    total = ("total", "", "", "", count(parameters(graph)))
    return Table(["parameter", "shape", "starts as", "", "count"], "llllr", [rows, [total]])


def state_table(graph: Graph) -> Table:
    """Return what is carried from pass to pass, the boundary that restores it, and which pass writes it."""
    rows = [
        (path, str(op.result.type), str(op.attrs["lifetime"]), str(op.attrs["commit"]).replace("_", " "))
        for path, op in graph.states.items()
    ]
    return Table(["state", "type", "lifetime", "commit"], "llll", [rows])


def parameter_record(graph: Graph) -> dict[str, Any]:
    """Return the parameters as JSON values by path."""
    return {
        path: {
            "shape": list(op.result.type.shape({})),
            "axes": [axis.name for axis in op.result.type.axes],
            "init": op.attrs["init"],
            "trainable": op.attrs["trainable"],
            "count": _entries(op),
        }
        for path, op in graph.params.items()
    }


def state_record(graph: Graph) -> dict[str, Any]:
    """Return what is carried as JSON values by path."""
    return {
        path: {"type": str(op.result.type), "lifetime": op.attrs["lifetime"], "commit": op.attrs["commit"]}
        for path, op in graph.states.items()
    }


def cost_table(cost: Cost, batch: int, tokens: int) -> Table:
    """Return floating-point operations and bytes of every pass of a window, equal passes once."""
    sizes = {"B": batch, "T": tokens}
    sections: list[list[tuple[str, ...]]] = []
    numbered = list(enumerate(cost.passes, 1))
    for _, equal in groupby(numbered, key=lambda pair: pair[1]):
        numbers = [number for number, _ in equal]
        name = f"pass {numbers[0]}" if len(numbers) == 1 else f"passes {numbers[0]} to {numbers[-1]}, each"
        sections.append(_pass_rows(name, cost.passes[numbers[0] - 1], sizes))
    sections.append([("carry", "bytes of state", formula(cost.state), size(cost.state.at(sizes)))])
    return Table(["", "cost", "symbolic", f"B = {batch}, T = {tokens}"], "lllr", sections)


def cost_record(cost: Cost, batch: int, tokens: int) -> dict[str, Any]:
    """Return the same as JSON values; per-token and per-row numbers do not depend on the batch."""
    row, sizes = {"B": 1, "T": tokens}, {"B": batch, "T": tokens}
    kinds = ("forward", "backward", "elementwise", "activations")
    return {
        "params": cost.params,
        "fixed_params": cost.fixed,
        **({"keyed_params": cost.keyed} if cost.keyed else {}),
        "flops_per_token": sum(one.training.at(row) for one in cost.passes) / tokens,
        "state_bytes": cost.state.at(row),
        "activation_bytes": max(one.activations.at(row) for one in cost.passes),
        "batch": batch,
        "tokens": tokens,
        "passes": [{kind: _both(getattr(one, kind), sizes) for kind in kinds} for one in cost.passes],
        "state": _both(cost.state, sizes),
    }


def formula(amount: Amount) -> str:
    """Return an amount as text: `256 B T² + 143,488 B T`; a term that is there only sometimes ends in its condition."""
    ordered = sorted(amount.terms, key=lambda term: -len(term.sizes))
    terms = [" ".join([count(term.coefficient), *_powers(term.sizes), *map(_where, term.when)]) for term in ordered]
    return " + ".join(terms) or "0"


def _powers(sizes: Sequence[Size]) -> list[str]:
    words = [f"({name})" if {"+", "-"} & set(name) else name for name in map(str, sizes)]
    return [
        word if (n := words.count(word)) == 1 else word + str(n).translate(_SUPERSCRIPTS)
        for word in dict.fromkeys(words)
    ]


def _where(size: Size) -> str:
    return f"[{size} > 0]"


def _both(amount: Amount, sizes: Mapping[str, int]) -> dict[str, Any]:
    return {"symbolic": formula(amount), "value": amount.at(sizes)}


def _pass_rows(name: str, cost: PassCost, sizes: Mapping[str, int]) -> list[tuple[str, ...]]:
    return [
        (name, "contractions forward", formula(cost.forward), _flops(cost.forward, sizes)),
        ("", "contractions backward", formula(cost.backward), _flops(cost.backward, sizes)),
        ("", "elementwise forward", formula(cost.elementwise), _flops(cost.elementwise, sizes)),
        ("", "bytes of activations, estimated", formula(cost.activations), size(cost.activations.at(sizes))),
    ]


def _flops(amount: Amount, sizes: Mapping[str, int]) -> str:
    return scaled(amount.at(sizes), "FLOP")


def _entries(op: Op) -> int:
    return math.prod(op.result.type.shape({}))


def _shape(op: Op) -> str:
    return f"[{', '.join(map(str, op.result.type.axes))}]"


def _rule(rule: Any) -> str:
    """Return an init rule in the spec's words: `zeros`, `normal 0.02`; of a row, its ends."""
    if isinstance(rule, str):
        return rule
    words: Mapping[str, Any] = rule
    if row := words.get("values", words.get("linspace")):
        return f"{next(iter(words))} {row[0]:g} .. {row[-1]:g}"
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in words.items()
    )
