"""A convolution of each channel with the tokens before it.

causal_conv(x[.., T, D], past[.., J, D], weight[J+1, D], bias[D]): y_t = bias + sum_j weight_j x_(t-J+j), where `past`
holds the J inputs before the first one. Results: every y_t, and the past of what comes next.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hrmsearch.ir.graph import Op, Value
from hrmsearch.ir.ops.table import MIXED, Flow, Flows, Functions, How, OpDef, Recurrence, declare, require
from hrmsearch.ir.types import Axis, Type

if TYPE_CHECKING:
    from hrmsearch.ir.builder import Builder


def _types(op: Op, _functions: Functions) -> Sequence[Type]:
    x, past, weight, bias = (value.type for value in op.operands)
    require(len({value.type.dtype for value in op.operands}) == 1 and x.dtype.is_float, op, "floats of one dtype")
    *lead, _, channels = x.axes
    require(len(past.axes) == len(x.axes), op, "the past has the axes of x, with inputs for tokens")
    before = past.axes[-2]
    fits = past.axes == (*lead, before, channels) and bool(before.size.known)
    require(fits, op, "the past holds a fixed number of inputs")
    require(
        weight.axes == (Axis(before.name, before.size + 1), channels), op, "the weight has a row more than the past"
    )
    require(bias.axes == (channels,), op, "the bias has an entry per channel")
    return [x, past]


def _flow(op: Op) -> Flows:
    x, past, weight, bias = ({n: Flow(How.SAME, (n,)) for n in value.type.names} for value in op.operands)
    tokens, inputs = op.operands[0].type.names[-2], op.operands[1].type.names[-2]
    x[tokens] = Flow(How.CAUSAL, (tokens,))
    past[inputs] = weight[inputs] = MIXED
    return x, past, weight, bias


def _define(b: "Builder", op: Op, operands: Sequence[Value]) -> tuple[Value, ...]:
    x, past, weight, bias = operands
    (tokens, channels), inputs = x.type.names[-2:], past.type.axes[-2]
    known = b.op("concat", b.rename(past, inputs.name, tokens), x, axis=tokens, name="known")
    y = bias
    for j in range(inputs.size.constant + 1):
        tap = b.merge(b.slice(weight, inputs.name, j, 1), inputs.name, channels, channels)
        y = b.slice(known, tokens, j, x.type.size(tokens)) * tap + y
    return y, b.slice(known, tokens, -inputs.size.constant, inputs.size, inputs.name)


def _recurs(op: Op) -> Recurrence:
    return Recurrence(op.operands[0].type.names[-2], {1: 1})


declare(OpDef("causal_conv", _types, _flow, define=_define, recurs=_recurs))
