"""Which of a dialect's helpers a file needs: those that its code names, and those that they name in turn."""

import ast
from collections.abc import Iterable, Mapping
from functools import cache


def needed(helpers: Mapping[str, str], used: Iterable[str]) -> list[str]:
    """Return the source of the helpers that are used and of those that they need, in the order of `helpers`."""
    wanted = set(used)
    for name in reversed(list(helpers)):  # a helper needs earlier ones only
        wanted |= named(helpers[name]) & helpers.keys() if name in wanted else set()
    return [text.strip() for name, text in helpers.items() if name in wanted]


@cache
def named(source: str) -> frozenset[str]:
    """Return every name that a piece of source reads."""
    return frozenset(node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name))
