"""Hypothesis strategies for small valid specs that reach every part of the language."""

import json
from collections.abc import Iterator
from typing import Any, cast

from hypothesis import strategies as st

from hrmsearch.blocks.base import Core
from hrmsearch.losses.base import Loss
from hrmsearch.spec.load import loads
from hrmsearch.spec.model import Spec
from hrmsearch.spec.registry import discover, kinds
from hrmsearch.testing.spec_parts import LIFETIMES, Data, Wish, cells, cores, maybe, norms, policies, recurring

_WIDTHS = st.sampled_from([4, 8])
_INITS = st.sampled_from([{"normal": 0.5}, {"trunc_normal": 0.5}, {"uniform": [-0.5, 0.5]}, "lecun_normal"])


@st.composite
def _infini(draw: st.DrawFn) -> Data:
    gate = draw(st.sampled_from(["head", "token"]))
    return {
        "kind": "infini",
        "heads": draw(st.sampled_from([1, 2])),
        "update": draw(st.sampled_from(["linear", "delta"])),
        "chunk": draw(st.sampled_from(["none", 1, 2, 3])),
        "local": draw(st.booleans()),
        "gate": gate,
        "residual": gate == "head" and draw(st.booleans()),
    }


@st.composite
def _cube(draw: st.DrawFn, wish: Wish) -> Data:
    return {
        "kind": "cube",
        "capacity": draw(st.integers(1, 6)),
        "top": draw(st.integers(1, 3)),
        "writes": draw(st.sampled_from(["all", 1, 2])),
        "evict": draw(st.sampled_from(["fifo", "least_used"])),
        "residual": draw(st.booleans()),
        **({"eps": 0.1} if wish.smooth else {}),
    }


@st.composite
def _memories(draw: st.DrawFn, places: list[str], wish: Wish) -> list[Data]:
    memories: list[Data] = []
    for place in draw(st.lists(st.sampled_from(places), max_size=2, unique=True)):
        if recurring() and draw(st.booleans()):
            fields = {"kind": "recurrent", "mixer": draw(cells(wish)), "residual": draw(st.booleans())}
        else:
            fields = draw(st.one_of(_infini(), _cube(wish)))
        # what is read once, before it is written, is empty in every pass
        in_turn = fields["kind"] == "recurrent" or fields.get("chunk", "none") != "none"
        when = {
            "lifetime": draw(st.sampled_from(LIFETIMES if in_turn else LIFETIMES[1:])),
            "commit": draw(st.sampled_from(wish.commits)),
        }
        policy = {"policy": draw(policies(wish))} if draw(st.integers(0, 2)) == 0 else {}
        memories.append({"at": place, **fields, **when, **policy})
    return memories


@st.composite
def _puzzle(draw: st.DrawFn, dim: int) -> Data:
    width = draw(st.integers(1, 2 * dim))
    positions = st.sampled_from(["none", -(-width // dim), 3])
    return {"at": "prepend", "kind": "puzzle", "width": width, "optimizer": {"lr": 0.1}} | {
        **maybe(draw, {"positions": positions, "init": st.just({"normal": 0.5})})
    }


@st.composite
def _nests(draw: st.DrawFn) -> dict[str, Any]:
    passes = draw(st.integers(1, 3))
    if draw(st.booleans()):
        return {"passes": passes, "backprop": {"windows": draw(st.integers(1, 2))}}
    span = draw(st.sampled_from([k for k in (1, 2, 3) if passes % k == 0]))
    return {"passes": passes, "backprop": {"passes": span}, "step": draw(st.sampled_from(["span", "window"]))}


@st.composite
def _losses(draw: st.DrawFn) -> Data:
    """Draw a loss per target."""
    per_token = [name for name, kind in kinds("loss").items() if issubclass(kind, Loss)]
    return {"kind": draw(st.sampled_from(per_token)), **maybe(draw, _LOSS)}


@st.composite
def _halting(draw: st.DrawFn, read: str) -> tuple[Data, Data]:
    """Draw a nest that halts, and the q-head it halts by."""
    target = draw(st.sampled_from(["none", "second_forward"]))
    halt = {"target": target, **maybe(draw, {"explore": st.just(0.5), "eval": st.sampled_from(["max", "halt"])})}
    names = ["halt"] if target == "none" else ["halt", "continue"]
    head = {"read": read, "pool": draw(st.sampled_from(["mean", "first"])), "outputs": names, "bias": 0.0}
    return {"passes": draw(st.integers(1, 3)), "halt": halt}, head


@st.composite
def spec_data(draw: st.DrawFn, *, sound: bool | None = None, smooth: bool = False) -> dict[str, Any]:
    """Draw the plain data of a tiny valid spec; `sound` steers it away from what leaks the future, or does not care.

    smooth: norms get a large eps, without which finite differences fail beside a stream of zeros (an empty memory).
    Widths are 4 or 8, windows up to 6 tokens, up to three levels of up to two layers or a stack of up to three, up to
    two memories. Mixers are of every kind that is registered.
    """
    discover()
    wish = Wish(bool(sound), smooth)
    core = draw(cores(wish))
    streams, places = _names(core)
    memory = draw(_memories(["input", "output", *(f"core.{place}" for place in places)], wish))
    model: dict[str, Any] = {
        "dim": draw(_WIDTHS),
        "init": draw(_INITS),
        "defaults": {"norm": draw(norms(wish)), "ffn": {"kind": "swiglu", "width": draw(st.integers(3, 6))}},
        "embed": {"kind": "token", "init": {"normal": 0.5}, **maybe(draw, _EMBED)},
        "memory": memory,
        "core": core,
        "head": {"kind": "lm", "read": draw(st.sampled_from(streams)), "tied": draw(st.booleans())},
    }
    if draw(st.booleans()):
        model["q_head"] = {"read": streams[-1], "pool": draw(st.sampled_from(["mean", "first"])), "outputs": 2}
    puzzles = draw(st.integers(0, 3))
    if puzzles and draw(st.booleans()):
        memory.append(draw(_puzzle(model["dim"])))
    # a carry that outlives its loader is unsound whatever the graph does
    loaders = ["contiguous"] if sound and "stream" in _lifetimes([core, memory]) else ["shuffled", "contiguous"]
    task = {
        "kind": "toy",
        "window": draw(st.integers(2, 6)),
        "loader": draw(st.sampled_from(loaders)),
        "kinds": puzzles,
    }
    loss = draw(_losses())
    train: Data = {"batch": draw(st.integers(1, 3)), "epochs": 1, "optimizer": {"kind": "adamw"}}
    nest = draw(_nests())
    if task["loader"] == "shuffled" and "last_pass" not in json.dumps(model) and draw(st.booleans()):
        nest, model["q_head"] = draw(_halting(streams[-1]))
        loss["halt"] = 0.5
    elif draw(st.booleans()):
        spread = {"kind": "oacd", "read": draw(st.sampled_from(streams))}
        loss = {"kind": "sum", "terms": [loss, {**spread, "weight": 0.5}]}
        train |= draw(st.sampled_from([{}, {"phases": [{"name": "one", "loss": spread}, {"name": "two"}]}]))
    return {
        "spec": 1,
        "name": "drawn",
        "model": model,
        "nest": nest,
        "loss": loss,
        "task": task,
        "train": train,
    }


def _names(core: Data) -> tuple[list[str], list[str]]:
    """Return what a head may read of a core, and where memories may stand in it."""
    part = kinds("core")[core["kind"]].model_validate(core)
    assert isinstance(part, Core)
    return list(part.streams), list(part.places)


def _lifetimes(data: Any) -> Iterator[str]:
    """Yield every lifetime that plain data name."""
    if isinstance(data, dict):
        fields = cast("Data", data)
        yield from (str(value) for name, value in fields.items() if name == "lifetime")
        yield from _lifetimes(list(fields.values()))
    elif isinstance(data, list):
        for item in cast("list[Any]", data):
            yield from _lifetimes(item)


_EMBED: dict[str, st.SearchStrategy[Any]] = {
    "position": st.sampled_from(["none", "learned"]),
    "scale": st.sampled_from([1.0, 2.0, "sqrt_dim"]),
}


_LOSS: dict[str, st.SearchStrategy[Any]] = {"mean": st.sampled_from(["targets", "rows"])}


def specs(*, sound: bool | None = None, smooth: bool = False) -> st.SearchStrategy[Spec]:
    """Return a strategy of tiny valid specs over the toy task; see `spec_data`."""
    return spec_data(sound=sound, smooth=smooth).map(lambda data: loads(json.dumps(data), "drawn.yaml"))
