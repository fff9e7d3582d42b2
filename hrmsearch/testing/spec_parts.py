"""Hypothesis strategies for the parts of a spec: mixers, blocks and cores of every kind that is registered."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_origin

from hypothesis import strategies as st
from pydantic import ValidationError

from hrmsearch.blocks.recurrent import Recurrent
from hrmsearch.spec.registry import Part, discover, kinds

Data = dict[str, Any]
LIFETIMES = ("pass", "window", "stream")
COMMITS = ("every_pass", "last_pass")
_HEADS = st.sampled_from([1, 2])
_TELEMETRY = st.lists(st.sampled_from(["energy", "norm", "ponder"]), unique=True)


@dataclass(frozen=True, slots=True)
class Wish:
    """What drawn parts are to be.

    sound: keeps them from leaking the future. smooth: gives norms a large eps, without which finite differences fail
    beside a stream of zeros (an empty memory).
    """

    sound: bool
    smooth: bool

    @property
    def commits(self) -> list[str]:
        """When a state that folds many tokens may be committed."""
        return ["last_pass"] if self.sound else [*COMMITS]


def maybe(draw: st.DrawFn, fields: dict[str, st.SearchStrategy[Any]]) -> Data:
    """Draw a mapping of which each key may be left out, so that defaults are met too."""
    return {name: draw(values) for name, values in fields.items() if draw(st.booleans())}


@st.composite
def norms(draw: st.DrawFn, wish: Wish, *, placed: bool = True) -> Data:
    """Draw a norm; `placed` ones may say where they stand."""
    place = {"place": st.sampled_from(["pre", "post"])} if placed else {}
    return {"kind": "rms", **maybe(draw, {**place, "gain": st.booleans()}), **({"eps": 0.1} if wish.smooth else {})}


# -- policies --------------------------------------------------------------------------------------------------------


@st.composite
def policies(draw: st.DrawFn, wish: Wish) -> Data:
    """Draw what a memory may say and keep: any of its parts, but a controller that clamps only with a gate."""
    parts = draw(st.sets(st.sampled_from(["gate", "clock", "evidence", "control"]), min_size=1))
    drawn = {name: draw(_PARTS[name](wish)) for name in sorted(parts)}
    if "control" in parts and "gate" not in parts:
        del drawn["control"]["clamp"]
    targets = ["stream", "residual", *(["alpha", "logit"] if "gate" in parts else []), *(parts & {"evidence"})]
    return drawn | maybe(draw, {"gains": st.lists(_gains(targets), min_size=1, max_size=2)})


@st.composite
def _gains(draw: st.DrawFn, targets: list[str]) -> Data:
    kind = draw(st.sampled_from(["exp_bounded", "tanh_bounded"]))
    on = draw(st.lists(st.sampled_from(targets), min_size=1, unique=True))
    return {"kind": kind, "level": draw(st.sampled_from([0.0, 0.5, 3.0])), "on": on}


@st.composite
def _gate(draw: st.DrawFn, wish: Wish) -> Data:
    more: Data = {
        "rate": st.sampled_from([0.05, 0.3]),
        "clamp": st.sampled_from([0.5, 2.0]),
        "bias": st.sampled_from([-1.0, 1.0]),
        "hysteresis": st.just({"open": 0.5, "close": 0.3}),
    }
    return {"kind": "alpha", "width": 3, "norm": draw(norms(wish, placed=False)), **maybe(draw, more)}


@st.composite
def _clock(draw: st.DrawFn, wish: Wish) -> Data:
    del wish
    every = draw(st.integers(2, 4))
    budget = st.fixed_dictionaries({"writes": st.integers(1, 3), "window": st.integers(2, 9)})
    return {"kind": "slots", "every": every, **maybe(draw, {"slot": st.integers(0, every - 1), "budget": budget})}


@st.composite
def _evidence(draw: st.DrawFn, wish: Wish) -> Data:
    del wish
    return {"kind": "llr", "ratio": 2.0, **maybe(draw, {"threshold": st.sampled_from([-0.2, 0.1])})}


@st.composite
def _control(draw: st.DrawFn, wish: Wish) -> Data:
    del wish
    # a limit of 0 would be met exactly by a memory that is empty
    limit = {"limit": st.sampled_from([-0.1, 0.01]), "release": st.just(-0.2)}
    return {"kind": "energy", "window": draw(st.integers(1, 4)), "clamp": 0.3, **maybe(draw, limit)}


_PARTS = {"gate": _gate, "clock": _clock, "evidence": _evidence, "control": _control}


# -- mixers ----------------------------------------------------------------------------------------------------------


@st.composite
def attention(draw: st.DrawFn, wish: Wish) -> Data:
    """Draw softmax attention."""
    position = draw(st.sampled_from(["rope", "none"]))
    return {
        "kind": "attention",
        "heads": draw(_HEADS),
        "position": position,
        "causal": wish.sound or draw(st.booleans()),
    }


def recurring() -> list[str]:
    """Return the kinds of mixers that recur."""
    discover()
    return [name for name, kind in kinds("mixer").items() if issubclass(kind, Recurrent)]


@st.composite
def cells(draw: st.DrawFn, wish: Wish) -> Data:
    """Draw a mixer that recurs, of any kind, with any of its choices, but for how long it lives."""
    kind = kinds("mixer")[draw(st.sampled_from(recurring()))]
    needed: Data = {"kind": kind.model_fields["kind"].default}
    if "heads" in kind.model_fields:  # the defaults divide no tiny width
        needed["heads"] = draw(_HEADS)
    if wish.smooth and "eps" in kind.model_fields:
        needed["eps"] = 0.1
    drawn = needed | maybe(draw, dict(_choices(kind)))
    try:
        kind.model_validate(drawn)
    except ValidationError:  # choices that exclude each other
        return needed
    return drawn


def _choices(kind: type[Part]) -> Iterator[tuple[str, st.SearchStrategy[Any]]]:
    """Yield the fields of a kind that say yes or no or name one of several."""
    for name, field in kind.model_fields.items():
        if name in ("kind", "lifetime", "commit"):
            continue
        if field.annotation is bool:
            yield name, st.booleans()
        elif get_origin(field.annotation) is Literal:
            yield name, st.sampled_from(get_args(field.annotation))


@st.composite
def mixers(draw: st.DrawFn, wish: Wish) -> Data:
    """Draw a mixer for a block; one that recurs lives for any time."""
    if not wish.sound and draw(st.integers(0, 7)) == 7:
        return {"kind": "mlp", "width": draw(st.integers(1, 3))}
    if not recurring() or draw(st.booleans()):
        return draw(attention(wish))
    when = {"lifetime": st.sampled_from(LIFETIMES), "commit": st.sampled_from(wish.commits)}
    return draw(cells(wish)) | {name: draw(values) for name, values in when.items()}


# -- blocks ----------------------------------------------------------------------------------------------------------


@st.composite
def blocks(draw: st.DrawFn, wish: Wish, *, deep: bool = False) -> Data:
    """Draw a block; `deep` ones may be made of blocks, fewer and flatter ones."""
    plain = ["transformer", "residual"]
    kind = draw(st.sampled_from([*plain, *plain, "stack", "hrm"] if deep else plain))
    if kind == "stack":
        return {"kind": "stack", **draw(lists(wish))}
    if kind == "hrm":
        more = {"norm": norms(wish, placed=False), "residual": st.booleans()}
        return {"kind": "hrm", **draw(levels(wish)), **maybe(draw, more)}
    more: Data = {"norm": norms(wish, placed=kind == "transformer")}
    if kind == "transformer" and not wish.sound:
        more["mixer_norm"] = st.just({"kind": "rms_tokens", "eps": 0.1})
    if kind == "residual":
        more["ffn"] = st.just({"kind": "swiglu", "width": 3})
    return {"kind": kind, "mixer": draw(mixers(wish)), **maybe(draw, more)}


#: halting heads of which some close some tokens
_SKIP: dict[str, st.SearchStrategy[Any]] = {
    "threshold": st.sampled_from([0.25, 0.6]),
    "cost": st.sampled_from([0.0, 0.5]),
    "target": st.sampled_from(["none", 0.5]),
}


@st.composite
def _skips(draw: st.DrawFn) -> Data:
    """Draw, or leave out, that tokens halt between layers."""
    fields = {"bias": draw(st.sampled_from([-1.0, 0.0])), "init": {"normal": 0.5}}
    return {"skip": {**fields, **maybe(draw, _SKIP)}} if draw(st.integers(0, 2)) == 0 else {}


@st.composite
def lists(draw: st.DrawFn, wish: Wish, *, deep: bool = False) -> Data:
    """Draw a list of one or two layers, in order or repeated, and in `deep` ones of three by position."""
    first = draw(blocks(wish, deep=deep))
    form = draw(st.sampled_from(["one", "repeat", "two", *(["position"] if deep else [])]))
    if form == "one":
        return {"blocks": [first]}
    if form == "repeat":
        return {"blocks": [{**first, "repeat": 2}], **maybe(draw, {"norm": norms(wish)}), **draw(_skips())}
    second = draw(blocks(wish, deep=deep))
    if form == "two":
        return {"blocks": [first, second], **maybe(draw, {"norm": norms(wish)}), **draw(_skips())}
    return {"blocks": [first, {**second, "positions": [draw(st.integers(0, 2))]}], "layers": 3, **draw(_skips())}


@st.composite
def _level_names(draw: st.DrawFn, most: int) -> dict[str, int]:
    """Draw levels by name with their periods, fastest first."""
    period, periods = 1, dict[str, int]()
    for i, name in enumerate(draw(st.sampled_from([["L"], ["L", "H"], ["L", "M", "H"]][:most]))):
        period *= draw(st.integers(1, 2)) if i else 1
        periods[name] = period
    return periods


@st.composite
def _gradients(draw: st.DrawFn, ticks: int) -> Any:
    if draw(st.booleans()):
        return {"last_ticks": draw(st.integers(1, ticks))}
    return draw(st.sampled_from(["last_tick", "last_cycle", "full"]))


@st.composite
def levels(draw: st.DrawFn, wish: Wish, *, deep: bool = False) -> Data:
    """Draw the fields of levels on their clocks; `deep` ones are up to three, with up to two layers and cycles."""
    most = 2 if deep else 1
    periods, cycles = draw(_level_names(most + 1)), draw(st.integers(1, most))
    parts: Data = {
        name: {"period": period, "layers": draw(st.integers(1, most)), "block": draw(blocks(wish, deep=deep))}
        for name, period in periods.items()
    }
    start = {
        "kind": draw(st.sampled_from(["fixed", "learned"])),
        "per": draw(st.sampled_from(["width", "position"])),
        "init": draw(st.sampled_from(["zeros", {"normal": 0.5}])),
    }
    when = {"lifetime": draw(st.sampled_from(LIFETIMES)), "commit": draw(st.sampled_from(COMMITS))}
    fields: Data = {
        "cycles": cycles,
        "order": draw(st.sampled_from(["sequential", "simultaneous"])),
        "inject": draw(st.lists(st.sampled_from(list(parts)), min_size=1, unique=True)),
        "gradient": draw(_gradients(cycles * max(periods.values()))),
        "state": {**when, "start": start},
        "levels": parts,
    }
    if draw(st.booleans()):
        first = next(iter(parts.values()))
        for level in parts.values():
            level |= {"layers": first["layers"], "block": first["block"]}
        fields["share"] = True
    return fields | maybe(draw, {"telemetry": _TELEMETRY})


# -- cores -----------------------------------------------------------------------------------------------------------


@st.composite
def cores(draw: st.DrawFn, wish: Wish) -> Data:
    """Draw a core of any kind."""
    if draw(st.integers(0, 2)):
        return {"kind": "hrm", **draw(levels(wish, deep=True))}
    return {"kind": "stack", **draw(lists(wish, deep=True))}
