"""Hypothesis strategies for small valid specs that reach every part of the language."""

import json
from typing import Any

from hypothesis import strategies as st

from hrmsearch.spec.load import loads
from hrmsearch.spec.model import Spec

_WIDTHS = st.sampled_from([4, 8])
_INITS = st.sampled_from([{"normal": 0.5}, {"trunc_normal": 0.5}, {"uniform": [-0.5, 0.5]}, "lecun_normal"])


def _maybe(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """Draw a mapping of which each key may be left out, so that defaults are met too."""
    return {name: draw(values) for name, values in fields.items() if draw(st.booleans())}


@st.composite
def _norms(draw: st.DrawFn, smooth: bool) -> dict[str, Any]:
    more = {"place": st.sampled_from(["pre", "post"]), "gain": st.booleans()}
    return {"kind": "rms", **_maybe(draw, more), **({"eps": 0.1} if smooth else {})}


@st.composite
def _blocks(draw: st.DrawFn, causal: bool | None, smooth: bool) -> dict[str, Any]:
    mixer = {
        "kind": "attention",
        "heads": draw(st.sampled_from([1, 2])),
        "position": draw(st.sampled_from(["rope", "none"])),
        "causal": draw(st.booleans()) if causal is None else causal,
    }
    return {"kind": "transformer", "mixer": mixer, **_maybe(draw, {"norm": _norms(smooth)})}


@st.composite
def _levels(draw: st.DrawFn, causal: bool | None, smooth: bool) -> dict[str, Any]:
    names = draw(st.sampled_from([["L"], ["L", "H"], ["L", "M", "H"]]))
    period, levels = 1, dict[str, Any]()
    for i, name in enumerate(names):
        period *= draw(st.integers(1, 2)) if i else 1
        levels[name] = {"period": period, "layers": draw(st.integers(1, 2)), "block": draw(_blocks(causal, smooth))}
    return levels


@st.composite
def _gradients(draw: st.DrawFn, ticks: int) -> Any:
    if draw(st.booleans()):
        return {"last_ticks": draw(st.integers(1, ticks))}
    return draw(st.sampled_from(["last_tick", "last_cycle", "full"]))


@st.composite
def _cores(draw: st.DrawFn, causal: bool | None, smooth: bool) -> dict[str, Any]:
    levels = draw(_levels(causal, smooth))
    cycles = draw(st.integers(1, 2))
    slowest = max(level["period"] for level in levels.values())
    start = {
        "kind": draw(st.sampled_from(["fixed", "learned"])),
        "per": draw(st.sampled_from(["width", "position"])),
        "init": draw(st.sampled_from(["zeros", {"normal": 0.5}])),
    }
    state = {
        "lifetime": draw(st.sampled_from(["pass", "window", "stream"])),
        "commit": draw(st.sampled_from(["every_pass", "last_pass"])),
        "start": start,
    }
    core: dict[str, Any] = {
        "kind": "hrm",
        "cycles": cycles,
        "order": draw(st.sampled_from(["sequential", "simultaneous"])),
        "inject": draw(st.lists(st.sampled_from(list(levels)), min_size=1, unique=True)),
        "gradient": draw(_gradients(cycles * slowest)),
        "state": state,
        "levels": levels,
    }
    if draw(st.booleans()):
        first = next(iter(levels.values()))
        for level in levels.values():
            level |= {"layers": first["layers"], "block": first["block"]}
        core["share"] = True
    return core


@st.composite
def _memories(draw: st.DrawFn, places: list[str], commits: list[str]) -> list[dict[str, Any]]:
    memories: list[dict[str, Any]] = []
    for place in draw(st.lists(st.sampled_from(places), max_size=2, unique=True)):
        gate = draw(st.sampled_from(["head", "token"]))
        memories.append(
            {
                "at": place,
                "kind": "infini",
                "heads": draw(st.sampled_from([1, 2])),
                "update": draw(st.sampled_from(["linear", "delta"])),
                "chunk": draw(st.sampled_from(["none", 1, 2, 3])),
                "local": draw(st.booleans()),
                "gate": gate,
                "residual": gate == "head" and draw(st.booleans()),
                "lifetime": draw(st.sampled_from(["window", "stream"])),
                "commit": draw(st.sampled_from(commits)),
            }
        )
    return memories


@st.composite
def _nests(draw: st.DrawFn) -> dict[str, Any]:
    passes = draw(st.integers(1, 3))
    if draw(st.booleans()):
        return {"passes": passes, "backprop": {"windows": draw(st.integers(1, 2))}}
    span = draw(st.sampled_from([k for k in (1, 2, 3) if passes % k == 0]))
    return {"passes": passes, "backprop": {"passes": span}, "step": draw(st.sampled_from(["span", "window"]))}


@st.composite
def spec_data(draw: st.DrawFn, *, sound: bool | None = None, smooth: bool = False) -> dict[str, Any]:
    """Draw the plain data of a tiny valid spec; `sound` steers it away from what leaks the future, or does not care.

    smooth: norms get a large eps, without which finite differences fail beside a stream of zeros (an empty memory).
    Widths are 4 or 8, windows up to 6 tokens, up to three levels of up to two layers, up to two memories.
    """
    causal = True if sound else None
    core = draw(_cores(causal, smooth))
    levels = list(core["levels"])
    places = ["input", "output", *(f"core.{level}" for level in levels)]
    commits = ["last_pass"] if sound else ["every_pass", "last_pass"]
    memory = draw(_memories(places, commits))
    model: dict[str, Any] = {
        "dim": draw(_WIDTHS),
        "init": draw(_INITS),
        "defaults": {"norm": draw(_norms(smooth)), "ffn": {"kind": "swiglu", "width": draw(st.integers(3, 6))}},
        "embed": {"kind": "token", "init": {"normal": 0.5}, **_maybe(draw, _EMBED)},
        "memory": memory,
        "core": core,
        "head": {"kind": "lm", "read": draw(st.sampled_from(levels)), "tied": draw(st.booleans())},
    }
    if draw(st.booleans()):
        model["q_head"] = {"read": levels[-1], "pool": draw(st.sampled_from(["mean", "first"])), "outputs": 2}
    # a carry that outlives its loader is unsound whatever the graph does
    streams = [core["state"]["lifetime"], *(m["lifetime"] for m in memory)]
    loaders = ["contiguous"] if sound and "stream" in streams else ["shuffled", "contiguous"]
    task = {"kind": "toy", "window": draw(st.integers(2, 6)), "loader": draw(st.sampled_from(loaders))}
    train = {"batch": draw(st.integers(1, 3)), "epochs": 1, "optimizer": {"kind": "adamw"}}
    return {"spec": 1, "name": "drawn", "model": model, "nest": draw(_nests()), "task": task, "train": train}


_EMBED: dict[str, st.SearchStrategy[Any]] = {
    "position": st.sampled_from(["none", "learned"]),
    "scale": st.sampled_from([1.0, 2.0, "sqrt_dim"]),
}


def specs(*, sound: bool | None = None, smooth: bool = False) -> st.SearchStrategy[Spec]:
    """Return a strategy of tiny valid specs over the toy task; see `spec_data`."""
    return spec_data(sound=sound, smooth=smooth).map(lambda data: loads(json.dumps(data), "drawn.yaml"))
