"""Every memory kind at every place, for every lifetime and commit rule: which of these a spec may say, and why not.

Kinds come from the registry, so a new one is covered by being there.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from hrmsearch.analyses import Diagnostic, validate
from hrmsearch.blocks.memory import Memory
from hrmsearch.errors import Problem, SpecError
from hrmsearch.lowering import lower
from hrmsearch.spec.load import loads
from hrmsearch.spec.model import Spec
from hrmsearch.spec.registry import Choice, Kind, discover, kinds
from hrmsearch.testing import toy

Data = dict[str, Any]
PLACES = ("prepend", "input", "core.L", "core.H", "core.0", "output")
LIFETIMES: tuple[Any, ...] = ("pass", "window", "stream", {"keyed": "puzzle"}, {"keyed": "sample"})
#: "" leaves the rule out
COMMITS = ("every_pass", "last_pass", "")
#: stands for a stream of the core, which a memory may have to name
_STREAM = "a stream"
_BLOCK: Data = {"kind": "transformer", "mixer": {"kind": "attention", "heads": 2}}
_HRM: Data = {
    "kind": "hrm",
    "gradient": "full",
    "levels": {"L": {"block": _BLOCK}, "H": {"period": 2, "block": _BLOCK}},
}
_STACK: Data = {"kind": "stack", "blocks": [_BLOCK, _BLOCK]}


@dataclass(frozen=True)
class Combination:
    """A memory, as a spec writes it but for where it stands and for how long, and these."""

    name: str
    memory: Data
    at: str
    lifetime: Any
    commit: str

    @property
    def when(self) -> str:
        """The lifetime in a word."""
        return self.lifetime if isinstance(self.lifetime, str) else f"by {self.lifetime['keyed']}"

    def __str__(self) -> str:
        return f"{self.name} at {self.at}, {self.when}, {self.commit or 'no commit'}"

    def spec(self, accept: Sequence[str] = ()) -> Spec:
        """Return a tiny spec with the memory, over two passes of windows of one text; raises SpecError.

        accept: codes that may stand.
        """
        when: Data = {"lifetime": self.lifetime, **({"commit": self.commit} if self.commit else {})}
        stack = self.at == "core.0"
        read = "last" if stack else "H"
        named = {field: read for field, value in self.memory.items() if value == _STREAM}
        model: Data = {
            "dim": 4,
            "init": {"normal": 0.5},
            "defaults": {"ffn": {"kind": "swiglu", "width": 3}, "norm": {"kind": "rms"}},
            "embed": {"kind": "token", "init": {"normal": 0.5}},
            "memory": [{"at": self.at, **self.memory, **named, **when}],
            "core": _STACK if stack else _HRM,
            "head": {"kind": "lm", "read": read},
        }
        task = {"kind": toy.Toy.model_fields["kind"].default, "window": 4, "loader": "contiguous", "kinds": 2}
        rest: Data = {"nest": {"passes": 2, "backprop": {"windows": 1}}, "task": task}
        accepted = dict.fromkeys(accept, "to see what else holds")
        data = {"spec": 1, "name": "combination", "model": model, **rest, "accept": accepted}
        return loads(json.dumps(data), "combination.yaml")


@dataclass(frozen=True)
class Verdict:
    """What the compiler says of a combination: why a spec may not say it, or what the analyses found of the spec."""

    one: Combination
    problem: Problem | None
    diagnostics: Sequence[Diagnostic]

    @property
    def errors(self) -> list[str]:
        """The codes that stop a run."""
        return sorted({one.code for one in self.diagnostics if one.severity == "error"})

    @property
    def runs(self) -> bool:
        """Whether a run may begin."""
        return self.problem is None and not self.errors

    @property
    def refusal(self) -> str:
        """The field that is wrong and why, without what would be right; "" where nothing is refused."""
        if self.problem is None:
            return ""
        return f"`{self.problem.field.rpartition('.')[2]}`: {self.problem.message.partition(';')[0]}"


def judge(one: Combination) -> Verdict:
    """Return what the compiler says of a combination."""
    try:
        spec = one.spec()
        return Verdict(one, None, validate(lower(spec), spec))
    except SpecError as error:
        return Verdict(one, error.problems[0], ())


def combinations(memories: Mapping[str, Data] | None = None) -> Iterator[Combination]:
    """Yield every combination of some memories, by default of all `variants`."""
    every = variants() if memories is None else memories
    for (name, memory), at, lifetime, commit in product(every.items(), PLACES, LIFETIMES, COMMITS):
        yield Combination(name, memory, at, lifetime, commit)


def variants(*, deep: bool = False) -> dict[str, Data]:
    """Return every registered memory kind by name, with only what it needs, and with each number that it may leave out.

    What is needed is a part of another family: every kind of that. deep: also with every other choice, one at a time,
    of the fields that say yes or no or name one of several.
    """
    discover()
    found: dict[str, Data] = {}
    for name, kind in kinds("memory").items():
        needed = _needed(name, kind)
        found |= needed
        for field, small in _left_out(kind):
            found |= {f"{title} with {field}": {**data, field: small} for title, data in needed.items()}
        for field, other in _choices(kind) if deep else ():
            found |= {f"{title} with {field} {other}": {**data, field: other} for title, data in needed.items()}
    return found


def _needed(name: str, kind: type[Kind]) -> dict[str, Data]:
    """Return a memory with what it needs, by name: once for every kind of part that it may be made of."""
    texts = [field for field, info in kind.model_fields.items() if info.is_required() and info.annotation is str]
    found: dict[str, Data] = {name: {"kind": name, **dict.fromkeys({*texts} - {"at"}, _STREAM)}}
    for field, info in kind.model_fields.items():
        choice = next((it for it in info.metadata if isinstance(it, Choice)), None)
        if choice is not None and info.is_required():
            parts = {f" of {part}": part for part in choice.forms} if choice.default is None else {"": choice.default}
            pairs = product(found.items(), parts.items())
            found = {f"{n}{of}": {**data, field: {"kind": part}} for (n, data), (of, part) in pairs}
    return found


def _own(kind: type[Kind]) -> dict[str, FieldInfo]:
    """Return the fields that a kind of timed memory has beside those that all have, as a spec calls them."""
    fields = kind.model_fields if issubclass(kind, Memory) else {}
    return {info.alias or name: info for name, info in fields.items() if name not in Memory.model_fields}


def _left_out(kind: type[Kind]) -> Iterator[tuple[str, int]]:
    """Yield the optional whole numbers of a kind, each with a small one."""
    for field, info in _own(kind).items():
        if info.default is None and any(int in (form, *get_args(form)[:1]) for form in get_args(info.annotation)):
            yield field, 2


def _choices(kind: type[Kind]) -> Iterator[tuple[str, Any]]:
    """Yield the fields of a kind that say yes or no or name one of several, with what is not the default."""
    for field, info in _own(kind).items():
        named = get_args(info.annotation) if get_origin(info.annotation) is Literal else ()
        every = (True, False) if info.annotation is bool else named
        yield from ((field, other) for other in every if other != info.default)
