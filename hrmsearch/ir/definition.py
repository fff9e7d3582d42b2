"""A composite's definition as operations, for whoever looks below it: expansion, cost, the analyses."""

from hrmsearch.ir.builder import Builder, Context
from hrmsearch.ir.graph import Graph, Nest, Op, Region, Value
from hrmsearch.ir.ops import lookup

#: no model surrounds operations that are built below the level of blocks
OPS_ONLY = Context(dim=0, window=0, vocabulary=0)


def definition(op: Op) -> Region:
    """Return a composite's definition as a region: its arguments are the operands, its results the results."""
    b = Builder(Graph("", Nest()), OPS_ONLY, place=op.place)
    b.region.args = [Value(value.type, value.name, b) for value in op.operands]
    define = lookup(op.kind).define
    assert define is not None, f"{op.kind} is no composite"
    results = define(b, op, b.region.args)
    b.region.results = list(results) if isinstance(results, tuple) else [results]
    return b.region
