"""YAML text -> tree: the part of YAML 1.2 that a spec may use, within limits that a hostile text cannot escape.

Values follow the core schema of YAML 1.2.2 (section 10.3): `1e-3` and `0o17` are numbers; `on`, `no` and `none` are
text. Left out on purpose: tags, directives, merge keys, keys that are not text, and a second document.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

from hrmsearch.errors import Place, Problem, SpecError
from hrmsearch.spec.node import Node, Path, Scalar, spell
from hrmsearch.spec.text import Text

LARGEST_TEXT: Final = 256 * 1024  # bytes
DEEPEST: Final = 32  # mappings and lists inside each other
MOST_ALIASES: Final = 32
MOST_ALIASED_VALUES: Final = 4096  # values that all aliases together may repeat
LONGEST_NUMBER: Final = 100  # characters

_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_WORDS: Final[dict[str, Scalar]] = {
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], None),
    **dict.fromkeys(["true", "True", "TRUE"], True),
    **dict.fromkeys(["false", "False", "FALSE"], False),
    **dict.fromkeys([sign + word for sign in ("", "+") for word in (".inf", ".Inf", ".INF")], float("inf")),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], float("-inf")),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], float("nan")),
}
_TOKENS: Final = {
    "'<scalar>'": "text",
    "<block end>": "a key or the end of this block",
    "'<stream end>'": "the end of the text",
    "'<block mapping start>'": "a key that is indented differently",
    "'<block sequence start>'": "a list",
    "'\\x00'": "the end of the text",
}


def compose(text: Text, start: int = 0, path: Path = ()) -> Node:
    """Return the tree of the text from `start` on; `path` is where that value belongs, for messages and for depth.

    Raises SpecError at the first thing that is wrong.
    """
    if len(text.text) > LARGEST_TEXT:
        raise text.error(start, f"larger than {LARGEST_TEXT // 1024} KiB")
    unprintable = _UNPRINTABLE.search(text.text, start)
    if unprintable:
        code = ord(unprintable.group())
        what = "binary data, not YAML text" if code == 0 else f"the character U+{code:04X} is not allowed in YAML"
        raise text.error(unprintable.start(), what)
    return _Composer(text, start).document(path)


def _events(text: str) -> Iterator[Any]:
    # The import takes 30 ms, which `--help` should not wait for.
    from ruamel.yaml import YAML

    yaml: Any = YAML(typ="safe", pure=True)
    return yaml.parse(text)


class _Composer:
    """Builds the tree from ruamel's events, so that every limit holds before anything is built."""

    def __init__(self, text: Text, start: int) -> None:
        self._text = text
        self._start = start
        self._events = _events(text.text[start:])
        self._anchors: dict[str, Node | None] = {}  # None: not complete yet
        self._aliases = 0
        self._aliased_values = 0

    def document(self, path: Path) -> Node:
        self._next()  # the start of the stream
        opening = self._next()
        if _name(opening) == "StreamEnd":
            raise SpecError([Problem(self._text.place(self._start), spell(path), "empty: there is no value to read")])
        if opening.version is not None or opening.tags:
            raise self._error(opening, "directives are not allowed: remove the line that starts with '%'")
        root = self._node(self._next(), path)
        self._next()  # the end of the document
        after = self._next()
        if _name(after) != "StreamEnd":
            raise self._error(after, "a second document: only one is allowed in a file")
        return root

    def _next(self) -> Any:
        from ruamel.yaml.error import MarkedYAMLError

        try:
            return next(self._events)
        except MarkedYAMLError as error:
            raised: Any = error
            index = self._start + raised.problem_mark.index  # ruamel's scanner and parser always give one
            opened = self._start + raised.context_mark.index if raised.context_mark else index
            index, message = _syntax(self._text, str(raised.problem), index, opened)
            raise self._text.error(index, message) from None
        except Exception as error:  # ruamel's scanner lets a few of its own mistakes out on malformed text
            raise self._text.error(self._start, f"not YAML: {error}") from error

    def _node(self, event: Any, path: Path) -> Node:
        if _name(event) == "Alias":
            return self._alias(event, path)
        if event.tag is not None:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")[:40]
            raise self._error(event, f"tags are not allowed: remove '{tag}'", path)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        if _name(event) == "Scalar":
            node = Node(self._scalar(event, path), self._place(event))
        elif len(path) >= DEEPEST:
            raise self._error(event, f"nested deeper than {DEEPEST} levels")
        elif _name(event) == "MappingStart":
            node = Node(self._mapping(path), self._place(event))
        else:
            node = Node(self._list(path), self._place(event))
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _list(self, path: Path) -> list[Node]:
        items: list[Node] = []
        while _name(event := self._next()) != "SequenceEnd":
            items.append(self._node(event, (*path, len(items))))
        return items

    def _mapping(self, path: Path) -> dict[str, Node]:
        entries: dict[str, Node] = {}
        while _name(event := self._next()) != "MappingEnd":
            name, place = self._key(event, path), self._place(event)
            if name in entries:
                first = entries[name].key
                lines = f"lines {first.line} and {place.line}" if first and first.line != place.line else "one line"
                raise self._error(event, f"this key is given twice, on {lines}", (*path, name))
            node = self._node(self._next(), (*path, name))
            # What is left out has no letter of its own, so the key stands for it.
            entries[name] = Node(node.value, place if node.value is None else node.place, place)
        return entries

    def _key(self, event: Any, path: Path) -> str:
        if _name(event) != "Scalar":
            raise self._error(event, "a key must be plain text", path)
        node = self._node(event, path)
        if not isinstance(node.value, str):
            raise self._error(event, f"a key must be text: write '{event.value[:40]}' in quotes", path)
        if node.value == "<<" and event.implicit[0]:
            raise self._error(event, "merge keys are not allowed: write the keys out", path)
        return node.value

    def _scalar(self, event: Any, path: Path) -> Scalar:
        word: str = event.value
        if not event.implicit[0]:  # quoted, or a block of text
            if _SURROGATE.search(word):
                raise self._error(event, "half a character: write it as it is, or as '\\U' and eight digits", path)
            return word
        if word in _WORDS:
            return _WORDS[word]
        integer = _INTEGER.fullmatch(word)
        if not integer and not _FLOAT.fullmatch(word):
            return word
        if len(word) > LONGEST_NUMBER:
            raise self._error(event, f"a number of more than {LONGEST_NUMBER} characters", path)
        if integer:
            return int(word[2:], 8) if word.startswith("0o") else int(word, 16 if word.startswith("0x") else 10)
        if abs(number := float(word)) == float("inf"):
            raise self._error(event, "a number too large for 64-bit floating point", path)
        return number

    def _alias(self, event: Any, path: Path) -> Node:
        if event.anchor not in self._anchors:
            raise self._error(event, f"unknown alias '*{event.anchor}'", path)
        node = self._anchors[event.anchor]
        if node is None:
            raise self._error(event, f"alias '*{event.anchor}' stands inside its own anchor", path)
        self._aliases += 1
        if self._aliases > MOST_ALIASES:
            raise self._error(event, f"more than {MOST_ALIASES} aliases: write the values out", path)
        self._count(event, node, path)
        return replace(node, place=self._place(event))

    def _count(self, event: Any, node: Node, path: Path) -> None:
        """Hold what an alias repeats to the limits of depth and number, as if it were written out."""
        self._aliased_values += 1
        if self._aliased_values > MOST_ALIASED_VALUES:
            raise self._error(event, f"aliases repeat more than {MOST_ALIASED_VALUES} values: write them out")
        if not isinstance(node.value, dict | list):
            return
        if len(path) >= DEEPEST:
            raise self._error(event, f"nested deeper than {DEEPEST} levels")
        for child in node.value.values() if isinstance(node.value, dict) else node.value:
            self._count(event, child, (*path, 0))

    def _place(self, event: Any) -> Place:
        return self._text.place(self._start + event.start_mark.index)

    def _error(self, event: Any, message: str, path: Path = ()) -> SpecError:
        return self._text.error(self._start + event.start_mark.index, message, spell(path))


def _name(event: Any) -> str:
    return type(event).__name__.removesuffix("Event")


def _syntax(text: Text, problem: str, index: int, opened: int) -> tuple[int, str]:
    """Say in plain words what ruamel found, and where to look: `opened` is where the broken construct began."""
    opening = text.text[opened : opened + 1]
    if "'\\t'" in problem:
        return index, "a tab cannot indent YAML: use spaces"
    if problem == "mapping values are not allowed here":
        return index, "a ':' is not allowed here: indent the key like its neighbours, or put the text in quotes"
    if problem == "found unexpected end of stream" and opening in ("'", '"'):
        return opened, "this quote is never closed"
    if opening in ("[", "{") and problem.startswith("expected"):
        if "<stream end>" in problem:
            return opened, f"this '{opening}' is never closed"
        problem += f"; the '{opening}' on line {text.place(opened).line} is still open"
    for token, words in _TOKENS.items():
        problem = problem.replace(token, words)
    return index, problem
