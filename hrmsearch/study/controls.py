"""Arms that a study adds on request: what is left of an arm without its passes, cycles or memory, and a flat model.

transformer   a flat transformer of equal size on the control's task, trained in the same way
passes        each arm of several passes, with one
cycles        each arm of several cycles, with one
memory        each arm with a memory, without
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hrmsearch.spec.load import resolved, shipped
from hrmsearch.spec.model import Spec
from hrmsearch.spec.node import Path, spell
from hrmsearch.spec.source import Source, read
from hrmsearch.study.files import Control
from hrmsearch.study.paths import assignment
from hrmsearch.study.spaces import Space

#: what brings a flat transformer to a size
SIZES: Final = ("model.dim", "model.defaults.ffn.width")


@dataclass(frozen=True)
class Derived:
    """A control: its text, the arm it is made from, and the paths it fixes.

    by: paths to match it by, where they are not the study's.
    """

    name: str
    source: Source
    base: str
    fixed: tuple[str, ...] = ()
    by: tuple[str, ...] = field(default=())

    def keeps(self, space: Mapping[str, Space]) -> dict[str, Space]:
        """Return what of its base's search is left to it."""
        return {path: one for path, one in space.items() if not path.startswith(self.fixed)} if self.fixed else {}


def derived(kind: Control, base: str, source: Source, spec: Spec) -> Derived | None:
    """Return a control of one kind for an arm; None where the arm has nothing to take away."""
    if kind == "transformer":
        return _transformer(base, spec)
    changes = _WITHOUT[kind](spec)
    for path, value in changes.items():
        source = source.with_override(assignment(path, value))
    return Derived(f"{base}_{_NAMES[kind]}", source, base, tuple(changes)) if changes else None


def _transformer(base: str, spec: Spec) -> Derived:
    """Return the shipped transformer on an arm's task, trained as the arm is."""
    source, tree = read(shipped()["transformer"]), resolved(spec)
    for path in ("task", "train", "loss"):
        source = source.with_override(assignment(path, tree[path]))
    return Derived("transformer", source, base, by=SIZES)


def _one_pass(spec: Spec) -> dict[str, Any]:
    if spec.nest.passes == 1:
        return {}
    shorter = {"nest.backprop": {"passes": 1}} if spec.nest.backprop.passes is not None else {}
    return {"nest.passes": 1, **shorter}


def _one_cycle(spec: Spec) -> dict[str, Any]:
    return {spell(path): 1 for path, value in _entries(resolved(spec)["model"], ("model",)) if _is_cycles(path, value)}


def _no_memory(spec: Spec) -> dict[str, Any]:
    return {"model.memory": []} if spec.model.memory else {}


def _is_cycles(path: Path, value: Any) -> bool:
    return path[-1] == "cycles" and isinstance(value, int) and value > 1


def _entries(tree: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    """Yield every value of a tree with its path."""
    yield path, tree
    if isinstance(tree, dict):
        for key, value in tree.items():  # pyright: ignore[reportUnknownVariableType]
            yield from _entries(value, (*path, str(key)))  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(tree, list):
        for i, value in enumerate(tree):  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
            yield from _entries(value, (*path, i))


_WITHOUT: Final[Mapping[str, Callable[[Spec], dict[str, Any]]]] = {
    "passes": _one_pass,
    "cycles": _one_cycle,
    "memory": _no_memory,
}
_NAMES: Final = {"passes": "one_pass", "cycles": "one_cycle", "memory": "no_memory"}
