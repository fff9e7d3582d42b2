"""Random small specs: every placement, lifetime, commit rule, order, gradient rule and loader that the language has."""

from typing import Any, cast

from hypothesis import strategies as st

import hrmsearch as hs
from hrmsearch.errors import SpecError
from hrmsearch.spec.load import render
from hrmsearch.spec.model import Spec

WINDOW = 7
_TASK = {"kind": "char_lm", "window": WINDOW}


def _flow(data: Any) -> str:
    """Write plain data as YAML on one line."""
    if isinstance(data, dict):
        data = cast("dict[str, Any]", data)
        return "{" + ", ".join(f"{key}: {_flow(value)}" for key, value in data.items()) + "}"
    if isinstance(data, list | tuple):
        return "[" + ", ".join(map(_flow, cast("list[Any]", data))) + "]"
    return str(data).lower() if isinstance(data, bool) else str(data)


@st.composite
def memories(draw: st.DrawFn, at: str) -> dict[str, Any]:
    """Return one memory at a place."""
    gate = draw(st.sampled_from(["head", "token"]))
    return {
        "at": at,
        "kind": "infini",
        "heads": draw(st.sampled_from([1, 2])),
        "update": draw(st.sampled_from(["linear", "delta"])),
        "chunk": draw(st.sampled_from(["none", "none", 2, 3, WINDOW])),
        "local": draw(st.booleans()),
        "gate": gate,
        "residual": draw(st.booleans()) if gate == "head" else False,
        "lifetime": draw(st.sampled_from(["window", "stream"])),
        "commit": draw(st.sampled_from(["every_pass", "last_pass"])),
    }


@st.composite
def cores(draw: st.DrawFn) -> dict[str, Any]:
    """Return a core of one to three levels."""
    names = ["L", "H", "G"][: draw(st.integers(1, 3))]
    periods, levels = [1], dict[str, Any]()
    for _ in names[1:]:
        periods.append(periods[-1] * draw(st.integers(1, 2)))
    for name, period in zip(names, periods, strict=True):
        attention = {"kind": "attention", "heads": draw(st.sampled_from([1, 2])), "causal": draw(_mostly(True))}
        attention["position"] = draw(st.sampled_from(["rope", "none"]))
        norm = {"kind": "rms", "place": draw(st.sampled_from(["pre", "post"])), "gain": draw(st.booleans())}
        block = {"kind": "transformer", "mixer": attention, "norm": norm}
        levels[name] = {"period": period, "layers": draw(st.sampled_from([1, 1, 2])), "block": block}
    cycles = draw(st.integers(1, 2))
    ticks = st.integers(1, cycles * periods[-1]).map(lambda k: {"last_ticks": k})
    start = {
        "kind": draw(st.sampled_from(["fixed", "learned"])),
        "per": draw(st.sampled_from(["width", "position"])),
        "init": draw(st.sampled_from(["zeros", "{normal: 0.5}"])),
    }
    return {
        "kind": "hrm",
        "cycles": cycles,
        "order": draw(st.sampled_from(["sequential", "simultaneous"])),
        "inject": draw(st.lists(st.sampled_from(names), unique=True, min_size=1)),
        "gradient": draw(st.sampled_from(["last_tick", "last_cycle", "full"]) | ticks),
        "state": {
            "lifetime": draw(st.sampled_from(["pass", "window", "window", "stream"])),
            "commit": draw(st.sampled_from(["every_pass", "every_pass", "last_pass"])),
            "start": start,
        },
        "levels": levels,
    }


def _mostly(value: bool) -> st.SearchStrategy[bool]:
    return st.sampled_from([value, value, value, not value])


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    """Return a valid spec of a tiny model."""
    core = draw(cores())
    levels = list(core["levels"])
    places = ["input", "output", *(f"core.{name}" for name in levels)]
    memory = [draw(memories(at)) for at in draw(st.lists(st.sampled_from(places), max_size=2, unique=True))]
    passes = draw(st.integers(1, 3))
    span = draw(
        st.sampled_from(["{passes: 1}", "{passes: 1}", f"{{passes: {passes}}}", "{windows: 1}", "{windows: 2}"])
    )
    model = {
        "dim": draw(st.sampled_from([4, 8])),
        "defaults": {"ffn": {"kind": "swiglu", "width": draw(st.sampled_from([4, 6]))}},
        "embed": {"kind": "token", "position": draw(st.sampled_from(["none", "learned"])), "init": "{normal: 1.0}"},
        "memory": memory,
        "core": core,
        "head": {"kind": "lm", "read": draw(st.sampled_from(levels)), "bias": draw(st.booleans())},
        "q_head": draw(st.sampled_from(["none", {"read": levels[-1], "pool": "mean"}])),
    }
    nest = {"passes": passes, "backprop": span}
    task = _TASK | {"loader": draw(st.sampled_from(["shuffled", "contiguous"]))}
    try:
        return hs.loads(f"spec: 1\nname: drawn\nmodel: {_flow(model)}\nnest: {_flow(nest)}\ntask: {_flow(task)}\n")
    except SpecError as error:
        raise AssertionError(f"the strategy drew an invalid spec: {error}") from error


def shown(spec: Spec) -> str:
    """Return a spec in full, for the message of a failing test."""
    return render(spec)
