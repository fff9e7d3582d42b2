"""The tree of a YAML text: plain values that know where they stand."""

import re
from dataclasses import dataclass
from typing import TypeAlias

from hrmsearch.errors import Place

Path: TypeAlias = tuple[str | int, ...]
Scalar: TypeAlias = "bool | int | float | str | None"
Data: TypeAlias = "Scalar | list[Data] | dict[str, Data]"

_PLAIN_NAME = re.compile(r"[\w-]+")


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the text, where it starts, and where its key starts if it has one."""

    value: "Scalar | list[Node] | dict[str, Node]"
    place: Place
    key: Place | None = None

    def child(self, step: str | int) -> "Node | None":
        """Return the entry or item that `step` names, if there is one."""
        if isinstance(self.value, dict) and isinstance(step, str):
            return self.value.get(step)
        if isinstance(self.value, list) and isinstance(step, int) and 0 <= step < len(self.value):
            return self.value[step]
        return None

    def data(self) -> Data:
        """Return the value and all below it as plain Python data."""
        if isinstance(self.value, dict):
            return {name: node.data() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.data() for node in self.value]
        return self.value


def spell(path: Path) -> str:
    """Write a path as an override does: `memory[0].lifetime`; names that need it are quoted, `params['model.dim']`."""
    words: list[str] = []
    for step in path:
        if isinstance(step, int):
            words.append(f"[{step}]")
        elif _PLAIN_NAME.fullmatch(step):
            words.append(f".{step}" if words else step)
        else:
            words.append(f"[{step!r}]")
    return "".join(words)
