"""The mLSTM cell over a run of tokens: what it reads and what it leaves.

mlstm(q[.., T, K], k[.., T, K], v[.., T, V], i[.., T], f[.., T], C[.., K, V], n[.., K], m[..]), in at least float32:

    m_t = max(f_t + m_(t-1), i_t)        C_t = e^(f_t + m_(t-1) - m_t) C_(t-1) + e^(i_t - m_t) k_t v_t'
    n_t likewise with k_t                y_t = C_t' q_t / (max(|n_t q_t|, e^(-m_t)) + eps)

f is the logarithm of the forget gate. Results: every y_t, and C, n and m at the end. `chunk` says how many tokens are
mixed at once, quadratically, before the state goes on to the next; null is all of them; the meaning is the same.

A token whose i is NEVER and whose f is 0 leaves the state as it was, bit for bit, even one that nothing was written to
yet, whose m is EMPTY.
Source: Beck et al. 2024, arXiv:2405.04517, eqs. 19-27 and appendix A.3.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hrmsearch.ir.chunks import chunked, unchunked
from hrmsearch.ir.graph import Op, Value
from hrmsearch.ir.ops.table import MIXED, Flow, Flows, Functions, How, OpDef, Recurrence, declare, require
from hrmsearch.ir.types import Axis, DType, Type

if TYPE_CHECKING:
    from hrmsearch.ir.builder import Builder

#: logarithms of weights that are nothing: m where nothing was written yet, and, less than that, i of a hidden token
EMPTY, NEVER = -1e30, -2e30
# e^-m is cut here: past it y is nothing anyway, and float32 would divide by infinity, which has no gradient
_LARGEST = 80.0


def _types(op: Op, _functions: Functions) -> Sequence[Type]:
    q, k, v, i, f, memory, n, m = (value.type for value in op.operands)
    *lead, tokens, width = q.axes
    require({value.type.dtype for value in op.operands} == {DType.WIDE}, op, "operands are wide")
    require(k == q and v.axes[:-1] == q.axes[:-1], op, "q, k and v share all axes but the last, q and k that too")
    require(i == f == q.with_axes([*lead, tokens]), op, "gates have an entry per token")
    wanted = [q.with_axes([*lead, width, v.axes[-1]]), q.with_axes([*lead, width]), q.with_axes(lead)]
    require([memory, n, m] == wanted, op, "the state is [.., K, V], [.., K] and [..]")
    return [v, memory, n, m]


def _flow(op: Op) -> Flows:
    tokens, width = op.operands[0].type.names[-2:]
    ways = [{name: Flow(How.SAME, (name,)) for name in value.type.names} for value in op.operands]
    for at, flows in enumerate(ways):
        if width in flows:
            flows[width] = MIXED
        if at and tokens in flows:
            flows[tokens] = Flow(How.CAUSAL, (tokens,))
    return tuple(ways)


def _define(b: "Builder", op: Op, operands: Sequence[Value]) -> tuple[Value, ...]:
    eps, chunk = op.attrs["eps"], op.attrs["chunk"]
    if chunk is None:
        return _at_once(b, operands, eps)
    *inputs, memory, n, m = operands
    tokens = inputs[0].type.axes[-2]
    # what fills up the last chunk are hidden tokens
    fills = (0.0, 0.0, 0.0, NEVER, 0.0)
    along = [chunked(b, value, chunk, fill, tokens.name) for value, fill in zip(inputs, fills, strict=True)]

    def body(memory: Value, n: Value, m: Value, *run: Value) -> list[Value]:
        y, *left = _at_once(b, (*run, memory, n, m), eps)
        return [*left, y]

    *left, y = b.scan("n", [memory, n, m], along, body, at=len(inputs[0].type.axes) - 2)
    return unchunked(b, y, tokens), *left


def _at_once(b: "Builder", operands: Sequence[Value], eps: float) -> tuple[Value, ...]:
    """Return the results in the quadratic form."""
    q, k, v, i, f, memory, n, m = operands
    *heads, t, key = q.type.names
    out, lead = v.type.names[-1], " ".join(heads)
    k, v, i = (b.rename(value, t, "U") for value in (k, v, i))
    decay, future = _decay(b, f, q.type.axes[-2])
    carried = b.op("add", b.op("cumsum", f, axis=t), m, name="carried")
    reached = b.op("where", future, NEVER, decay + i, name="reached")
    top = b.op("maximum", carried, b.amax(reached, "U"), name="top")
    kept = b.op("exp", carried - top, name="kept")
    products = b.einsum(f"{lead} {t} {key}, {lead} U {key} -> {lead} {t} U", q, k)
    scores = b.op("mul", products, b.exp(reached - top), name="scores")
    found = b.einsum(f"{lead} {t} U, {lead} U {out} -> {lead} {t} {out}", scores, v)
    found = found + kept * b.einsum(f"{lead} {t} {key}, {lead} {key} {out} -> {lead} {t} {out}", q, memory)
    weight = b.sum(scores, "U") + kept * b.einsum(f"{lead} {t} {key}, {lead} {key} -> {lead} {t}", q, n)
    floor = b.exp(b.op("minimum", -top, _LARGEST))
    y = found / (b.op("maximum", b.op("abs", weight), floor) + eps)

    # the last row of each table is what the state after the run sees
    end = b.sum(b.slice(top, t, -1, 1, "J"), "J")
    taken = b.exp(b.sum(b.slice(decay, t, -1, 1, "J"), "J") + i - end)
    keys = b.op("mul", k, taken, name="keys")
    left = b.op("exp", b.sum(f, t) + m - end, name="left")
    memory = left * memory + b.einsum(f"{lead} U {key}, {lead} U {out} -> {lead} {key} {out}", keys, v)
    return y, memory, left * n + b.sum(keys, "U"), end


def _decay(b: "Builder", f: Value, tokens: Axis) -> tuple[Value, Value]:
    """Return sum_(u < l <= t) f_l for every pair (T, U), 0 where t <= u, and where t < u.

    Each is summed by itself: differences of one running sum would lose the digits that it has gathered before.
    """
    before = Axis("U", tokens.size)
    t = b.broadcast(b.iota(tokens, DType.I32), Type(DType.I32, (tokens, before)))
    u = b.iota(before, DType.I32)
    steps = b.broadcast(f, f.type.insert(len(f.type.axes), before))
    decay = b.op("cumsum", b.where(b.op("less", u, t), steps, 0.0), axis=tokens.name, name="decay")
    return decay, b.op("less", t, u)


def _recurs(op: Op) -> Recurrence:
    return Recurrence(op.operands[0].type.names[-2], {5: 1, 6: 2, 7: 3})


declare(OpDef("mlstm", _types, _flow, frozenset({"eps", "chunk"}), define=_define, recurs=_recurs))
