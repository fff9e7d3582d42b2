"""Overrides: `memory[0].lifetime=pass` changes one value of a tree and becomes that value's place.

path=value     path: name(.name|[index])*     value: YAML
"""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from hrmsearch.errors import Place, SpecError
from hrmsearch.spec import presets
from hrmsearch.spec.node import Node, Path, spell
from hrmsearch.spec.reader import DEEPEST, compose
from hrmsearch.spec.text import Text

Resolve = Callable[[Path], Path]

_FIRST: Final = re.compile(r"[\w-]+")
_STEP: Final = re.compile(r"\.(?P<name>[\w-]+)|\[(?P<index>[0-9]{1,6})\]")
_LINE_BREAK: Final = re.compile(r"[\r\n]")
_END: Final = re.compile(r"\s*=\s*")


@dataclass(frozen=True, slots=True)
class Override:
    """An assignment read and resolved: the full path, where each of its steps stands, and the new value."""

    text: Text
    path: Path
    places: tuple[Place, ...]
    value: Node

    def apply(self, root: Node) -> Node:
        """Return the tree with the value in place; what is not on the path is shared with `root`."""
        return self._put(root, 0)

    def _put(self, node: Node | None, depth: int) -> Node:
        if depth == len(self.path):
            return self.value
        step, place = self.path[depth], self.places[depth]
        node = _written_out(node)
        if node is None or node.value is None:
            # A missing mapping or list is made on the way, and then stands where the override names it.
            node = Node({} if isinstance(step, str) else [], self.places[max(0, depth - 1)], node.key if node else None)
        child = self._put(node.child(step), depth + 1)
        if isinstance(step, str):
            if not isinstance(node.value, dict):
                raise self._misfit(node, depth)
            entry = replace(child, key=child.key or place)
            return replace(node, value={**node.value, step: entry})
        if not isinstance(node.value, list):
            raise self._misfit(node, depth)
        if step > len(node.value):
            raise self._beyond(node.value, depth)
        return replace(node, value=[*node.value[:step], child, *node.value[step + 1 :]])

    def _misfit(self, node: Node, depth: int) -> SpecError:
        parent = spell(self.path[:depth]) or "the document"
        step = self.path[depth]
        if isinstance(node.value, list):
            return self._error(depth, f"{parent} is a list: name one of its items, like {parent}[0]")
        if isinstance(node.value, dict):
            return self._error(depth, f"{parent} is a mapping and has no [{step}]: name one of its keys")
        kind = "a mapping" if isinstance(step, str) else "a list"
        return self._error(depth, f"{parent} is one value, not {kind}: give all of it, as in {parent}=...")

    def _beyond(self, items: list[Node], depth: int) -> SpecError:
        parent, count = spell(self.path[:depth]), len(items)
        held = "is empty" if count == 0 else "has 1 item" if count == 1 else f"has {count} items"
        return self._error(depth, f"{parent} {held}: {parent}[{count}] would append one")

    def _error(self, depth: int, message: str) -> SpecError:
        place = self.places[depth]
        return self.text.error(place.column - 1, message, spell(self.path[: depth + 1]))


def read_override(assignment: str, resolve: Resolve) -> Override:
    """Read `path=value`; `resolve` completes the path, so that `dim` may stand for `model.dim`."""
    text = Text(f"--set {_one_line(assignment)}", assignment)
    line_break = _LINE_BREAK.search(assignment)
    if line_break:
        raise text.error(line_break.start(), "an override is one line")
    short, indices, start = _steps(text)
    if start == len(assignment):
        raise text.error(start, "no value: write null if you mean nothing", spell(short))
    path = resolve(short)
    if len(path) > DEEPEST:
        raise text.error(0, f"nested deeper than {DEEPEST} levels")
    # The steps that `resolve` put in front have no letters of their own: the first step stands for them.
    indices = [indices[0]] * (len(path) - len(short)) + indices
    places = tuple(text.place(index) for index in indices)
    value = replace(compose(text, start, path), key=places[-1] if isinstance(path[-1], str) else None)
    return Override(text, path, places, value)


def _written_out(node: Node | None) -> Node | None:
    """Return a preset's short form as the mapping it stands for, at the same place; any other node as it is."""
    fields = presets.split(node.value) if node is not None and isinstance(node.value, str) else None
    if node is None or fields is None:
        return node
    return replace(node, value={name: Node(value, node.place, node.place) for name, value in fields.items()})


def _steps(text: Text) -> tuple[Path, list[int], int]:
    """Return the path as written, the index of each step's first letter, and where the value starts."""
    first = _FIRST.match(text.text)
    path: list[str | int] = [first.group()] if first else []
    indices, index = [0], first.end() if first else 0
    while path and (step := _STEP.match(text.text, index)):
        path.append(step["name"] or int(step["index"]))
        indices.append(step.start("name") if step["name"] else step.start())
        index = step.end()
    end = _END.match(text.text, index)
    if not path or not end:
        raise text.error(index, "an override is written path=value, like model.dim=96 or memory[0].lifetime=pass")
    return tuple(path), indices, end.end()


def _one_line(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
