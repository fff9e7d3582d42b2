"""Composites: ops defined in primitives, which a backend may replace by something faster.

The reference runs the definition; the declared flow is held to it by a perturbation test.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hrmsearch.ir.graph import Op, Value
from hrmsearch.ir.ops.table import MIXED, Flow, Flows, Functions, How, OpDef, Recurrence, declare, require
from hrmsearch.ir.types import DType, Type

if TYPE_CHECKING:
    from hrmsearch.ir.builder import Builder


def _float(op: Op) -> Type:
    type_ = op.operands[0].type
    require(type_.dtype.is_float, op, "the first operand is a float")
    return type_


def _mixing(names: Sequence[str], *mixed: str) -> dict[str, Flow]:
    return {name: MIXED if name in mixed else Flow(How.SAME, (name,)) for name in names}


# attention(q[.., T, K], k[.., U, K], v[.., U, V]): softmax over U of scale * q k, times v (Vaswani et al. 2017)


def _attention_types(op: Op, _functions: Functions) -> Sequence[Type]:
    q, k, v = (value.type for value in op.operands)
    require(q.axes[:-2] == k.axes[:-2] == v.axes[:-2], op, "q, k and v share their leading axes")
    require(q.axes[-1] == k.axes[-1] and k.axes[-2] == v.axes[-2], op, "q and k share K; k and v share U")
    require(not op.attrs["causal"] or q.sizes[-2] == k.sizes[-2], op, "causal attention sees as many keys as queries")
    return [q.with_axes([*q.axes[:-1], v.axes[-1]])]


def _attention_flow(op: Op) -> Flows:
    q, k, v = (value.type.names for value in op.operands)
    seen = Flow(How.CAUSAL, (q[-2],)) if op.attrs["causal"] else MIXED
    return _mixing(q, q[-1]), _mixing(k, k[-1]) | {k[-2]: seen}, _mixing(v) | {v[-2]: seen}


def _attention(b: "Builder", op: Op, operands: Sequence[Value]) -> Value:
    q, k, v = operands
    lead, (t, u) = " ".join(q.type.names[:-2]), (q.type.axes[-2], k.type.axes[-2])
    width, out = q.type.names[-1], v.type.names[-1]
    scores = b.einsum(f"{lead} {t.name} {width}, {lead} {u.name} {width} -> {lead} {t.name} {u.name}", q, k)
    scores = scores * op.attrs["scale"]
    if op.attrs["causal"]:
        now = b.broadcast(b.iota(t, DType.I32), Type(DType.I32, (t, u)))
        future = b.op("less", now, b.iota(u, DType.I32))
        scores = b.where(future, float("-inf"), scores)
    weights = b.op("softmax", scores, axis=u.name)
    return b.einsum(f"{lead} {t.name} {u.name}, {lead} {u.name} {out} -> {lead} {t.name} {out}", weights, v)


declare(
    OpDef("attention", _attention_types, _attention_flow, frozenset({"causal", "scale"}), define=_attention),
)


def _softmax_types(op: Op, _functions: Functions) -> Sequence[Type]:
    _float(op).index(op.attrs["axis"])
    return [_float(op)]


def _softmax_flow(op: Op) -> Flows:
    return (_mixing(op.operands[0].type.names, op.attrs["axis"]),)


def _softmax(b: "Builder", op: Op, operands: Sequence[Value]) -> Value:
    (x,) = operands
    e = b.exp(x - b.amax(x, op.attrs["axis"]))
    return e / b.sum(e, op.attrs["axis"])


declare(OpDef("softmax", _softmax_types, _softmax_flow, frozenset({"axis"}), define=_softmax))


# rms_norm(x[.., D], gain[D]?): x / sqrt(mean(x^2) + eps) * gain over the last axis (Zhang and Sennrich 2019)


def _norm_types(op: Op, _functions: Functions) -> Sequence[Type]:
    x = _float(op)
    require(
        all(value.type.axes == x.axes[-1:] for value in op.operands[1:]), op, "the gain and the bias have the last axis"
    )
    return [x]


def _norm_flow(op: Op) -> Flows:
    names = op.operands[0].type.names
    return (_mixing(names, names[-1]), *(_mixing(names[-1:]) for _ in op.operands[1:]))


def _rms_norm(b: "Builder", op: Op, operands: Sequence[Value]) -> Value:
    x = b.cast(operands[0], DType.WIDE)
    scale = b.op("rsqrt", b.mean(x * x, x.type.names[-1]) + op.attrs["eps"])
    y = b.cast(x * scale, operands[0].type.dtype)
    return y * operands[1] if len(operands) > 1 else y


declare(OpDef("rms_norm", _norm_types, _norm_flow, frozenset({"eps"}), define=_rms_norm))


# layer_norm(x[.., D], gain[D]?, bias[D]?): (x - mean) / sqrt(variance + eps) * gain + bias over the last axis
# (Ba, Kiros and Hinton 2016, arXiv:1607.06450)


def _layer_norm(b: "Builder", op: Op, operands: Sequence[Value]) -> Value:
    x, *affine = operands
    wide = b.cast(x, DType.WIDE)
    centred = wide - b.mean(wide, x.type.names[-1])
    scale = b.op("rsqrt", b.mean(centred * centred, x.type.names[-1]) + op.attrs["eps"])
    y = b.cast(centred * scale, x.type.dtype)
    y = y * affine[0] if affine else y
    return y + affine[1] if len(affine) > 1 else y


declare(OpDef("layer_norm", _norm_types, _norm_flow, frozenset({"eps"}), define=_layer_norm))


# rope(x[.., T, K], cos[T, K], sin[T, K]): rotary positions, rotate-half layout (Su et al. 2021, arXiv:2104.09864)


def _rope_types(op: Op, _functions: Functions) -> Sequence[Type]:
    x, cos, sin = (value.type for value in op.operands)
    require(cos == sin and cos.axes == x.axes[-2:], op, "the tables have the last two axes")
    require(x.sizes[-1].known is not None and (x.sizes[-1].known or 0) % 2 == 0, op, "the head width is even")
    return [x]


def _rope_flow(op: Op) -> Flows:
    names = op.operands[0].type.names
    table = _mixing(names[-2:])
    return _mixing(names, names[-1]), table, table


def _rope(b: "Builder", op: Op, operands: Sequence[Value]) -> Value:
    x, cos, sin = operands
    width = x.type.axes[-1]
    half = (width.size.known or 0) // 2
    first, second = (b.slice(x, width.name, start, half) for start in (0, half))
    return x * cos + b.concat(width.name, -second, first) * sin


declare(OpDef("rope", _rope_types, _rope_flow, define=_rope))


def _same(op: Op, _functions: Functions) -> Sequence[Type]:
    return [_float(op)]


def _silu(b: "Builder", op: Op, operands: Sequence[Value]) -> Value:
    del op
    (x,) = operands
    return x * b.op("sigmoid", x)


declare(OpDef("silu", _same, define=_silu))


def _gelu(b: "Builder", op: Op, operands: Sequence[Value]) -> Value:
    """x Phi(x), by the error function (Hendrycks and Gimpel 2016, arXiv:1606.08415)."""
    del op
    (x,) = operands
    return 0.5 * x * (1.0 + b.op("erf", x * math.sqrt(0.5)))


declare(OpDef("gelu", _same, define=_gelu))


# cross_entropy(logits[.., C], targets[..]): -log softmax(logits)[target], zero where the target is `ignore`


def _entropy_types(op: Op, _functions: Functions) -> Sequence[Type]:
    logits, targets = (value.type for value in op.operands)
    require(targets.dtype == DType.I32 and targets.axes == logits.axes[:-1], op, "targets are i32, one per row")
    return [Type(DType.WIDE, targets.axes)]


def _entropy_flow(op: Op) -> Flows:
    names = op.operands[0].type.names
    return _mixing(names, names[-1]), _mixing(names[:-1])


def _cross_entropy(b: "Builder", op: Op, operands: Sequence[Value]) -> Value:
    logits, targets = b.cast(operands[0], DType.WIDE), operands[1]
    classes = logits.type.axes[-1]
    shifted = logits - b.amax(logits, classes.name)
    wanted = b.broadcast(targets, logits.type.with_dtype(DType.I32))
    hit = b.op("equal", wanted, b.iota(classes, DType.I32))
    picked = b.sum(b.where(hit, shifted, 0.0), classes.name)
    loss = b.log(b.sum(b.exp(shifted), classes.name)) - picked
    return b.where(b.op("equal", targets, op.attrs["ignore"]), 0.0, loss)


declare(OpDef("cross_entropy", _entropy_types, _entropy_flow, frozenset({"ignore"}), define=_cross_entropy))


# argmax(x[.., C]): the first position of the largest entry along an axis, i32


def _argmax_types(op: Op, _functions: Functions) -> Sequence[Type]:
    return [_float(op).without(op.attrs["axis"]).with_dtype(DType.I32)]


def _argmax(b: "Builder", op: Op, operands: Sequence[Value]) -> Value:
    (x,), name = operands, op.attrs["axis"]
    along = x.type.axes[x.type.index(name)]
    largest = b.op("equal", x, b.amax(x, name))
    # positions are whole numbers, which float32 holds exactly up to 2^24; min(p) is -max(-p)
    positions = b.broadcast(b.iota(along, DType.WIDE), x.type.with_dtype(DType.WIDE))
    first = -b.amax(b.where(largest, -positions, float("-inf")), name)
    return b.cast(first, DType.I32)


declare(
    OpDef("argmax", _argmax_types, _softmax_flow, frozenset({"axis"}), define=_argmax, differentiable=False),
)


# linear_scan(a, b[.., T, ..], h0): h_t = a h_(t-1) + b_t, elementwise, or a matrix over the axes `mix` = [row, column].
# `a` may lack the axis T: a time-invariant transition. Results: every h_t, and the last one.
# `form` says how a backend is to compute it, null to let it choose: one step after another, in chunks of fixed length,
# as a convolution by FFT (time-invariant only), or as a parallel scan. All forms mean the same.

LINEAR_SCAN_FORMS = ("step", "chunk", "fft", "scan")


def _scan_parts(op: Op) -> tuple[Type, Type, str, list[str] | None]:
    a, b = op.operands[0].type, op.operands[1].type
    return a, b, op.attrs["axis"], op.attrs["mix"]


def linear_scan_forms(op: Op) -> tuple[str, ...]:
    """Return the forms that a `linear_scan` can have: a convolution needs one transition for every step."""
    a, _, axis, _ = _scan_parts(op)
    return tuple(form for form in LINEAR_SCAN_FORMS if form != "fft" or axis not in a.names)


def _linear_scan_types(op: Op, _functions: Functions) -> Sequence[Type]:
    a, b, axis, mix = _scan_parts(op)
    start = op.operands[2].type
    require(len({value.type.dtype for value in op.operands}) == 1, op, "operands have one dtype")
    require(start == b.without(axis), op, f"the start value has the axes of b without {axis}")
    form = op.attrs["form"]
    require(form is None or form in LINEAR_SCAN_FORMS, op, f"the form is null or one of {', '.join(LINEAR_SCAN_FORMS)}")
    possible = form is None or form in linear_scan_forms(op)
    require(possible, op, f"the {form} form needs a transition that is the same at every step")
    if mix is None:
        rest = iter(b.axes)
        require(all(ax in rest for ax in a.axes), op, "a broadcasts to b")
    else:
        row, column = mix
        require(a.size(row) == a.size(column) == b.size(row), op, f"a is square over {row} and {column}")
        others = [ax for ax in a.axes if ax.name not in mix]
        require(column not in b.names and all(ax in b.axes for ax in others), op, f"a broadcasts to b but for {column}")
    return [b, start]


def _linear_scan_flow(op: Op) -> Flows:
    a, b, axis, mix = _scan_parts(op)
    causal = {axis: Flow(How.CAUSAL, (axis,))}
    mixed = tuple(mix or ())
    return (
        _mixing(a.names, *mixed) | (causal if axis in a.names else {}),
        _mixing(b.names, *mixed) | causal,
        _mixing(op.operands[2].type.names, *mixed),
    )


def _linear_scan(b: "Builder", op: Op, operands: Sequence[Value]) -> tuple[Value, ...]:
    a, x, start = operands
    axis, mix = op.attrs["axis"], op.attrs["mix"]

    def step(h: Value, x_t: Value, *a_t: Value) -> tuple[Value, Value]:
        transition = a_t[0] if a_t else a
        new = x_t + (transition * h if mix is None else _apply(b, transition, h, mix))
        return new, new

    varying = [a] if axis in a.type.names else []
    last, states = b.scan(axis, [start], [x, *varying], step, at=x.type.index(axis))
    return states, last


def _apply(b: "Builder", a: Value, h: Value, mix: Sequence[str]) -> Value:
    row, column = mix
    source = [column if name == row else name for name in h.type.names]
    return b.einsum(f"{' '.join(a.type.names)}, {' '.join(source)} -> {' '.join(h.type.names)}", a, h)


declare(
    OpDef(
        "linear_scan",
        _linear_scan_types,
        _linear_scan_flow,
        frozenset({"axis", "mix", "form"}),
        define=_linear_scan,
        recurs=lambda op: Recurrence(op.attrs["axis"], {2: 1}),
    ),
)
