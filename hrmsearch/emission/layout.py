"""A tree of statements and its text: indentation, trailing comments, and long lines broken the way ruff breaks them."""

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from hrmsearch.emission.syntax import Expr, source

WIDTH = 120
#: written one item a line when they are broken
_DISPLAYS = (ast.Dict, ast.List, ast.Tuple)


@dataclass(slots=True)
class Line:
    """One statement: text before an expression (`q = `, `return `), the expression, and a comment."""

    head: str
    value: Expr | None = None
    comment: str = ""


@dataclass(slots=True)
class Block:
    """A compound statement: its first line, without the colon, and its body.

    value: an expression that ends the first line.
    """

    head: str
    body: "list[Statement]" = field(default_factory=list["Statement"])
    comment: str = ""
    value: Expr | None = None


Statement = Line | Block


def render(statements: Iterable[Statement], indent: int = 0) -> Iterator[str]:
    """Yield the lines of statements."""
    for statement in statements:
        if isinstance(statement, Line):
            yield from _line(statement, " " * indent, "")
        else:
            yield from _line(Line(statement.head, statement.value, statement.comment), " " * indent, ":")
            yield from render(statement.body, indent + 4)


def _line(line: Line, margin: str, end: str) -> Iterator[str]:
    bare = line.value.elts if isinstance(line.value, ast.Tuple) else ()
    text = f"{margin}{line.head}{', '.join(map(source, bare))}{end}"
    # a statement's own tuple needs no brackets while it fits
    fits = len(bare) > 1 and len(text) <= WIDTH
    first, *rest = [text] if fits else _broken(line.head, line.value, margin, end)
    yield _commented(first.rstrip(), line.comment)
    yield from rest


def _broken(head: str, value: Expr | None, margin: str, end: str) -> Iterator[str]:
    """Yield `head value end` on one line, or broken at its brackets, outermost first."""
    text = f"{margin}{head}{'' if value is None else source(value)}{end}"
    if len(text) <= WIDTH or value is None:
        yield text
        return
    opening, items, closing = _split(value)
    inner = margin + "    "
    targets = head.removesuffix(" = ").split(", ")
    if head.endswith(" = ") and len(targets) > 1 and len(f"{margin}{head}{opening}") > WIDTH:
        yield f"{margin}("
        yield from (f"{inner}{target}," for target in targets)
        yield from _broken(") = ", value, margin, end)
        return
    yield f"{margin}{head}{opening}"
    joined = inner + ", ".join(name + source(item) for name, item in items)
    if len(joined) <= WIDTH and not isinstance(value, _DISPLAYS):
        yield joined
    else:
        comma = "," if len(items) > 1 or isinstance(value, _DISPLAYS) else ""
        for name, item in items:
            yield from _broken(name, item, inner, comma)
    yield f"{margin}{closing}{end}"


def _split(value: Expr) -> tuple[str, list[tuple[str, Expr]], str]:
    """Return an expression as an opening bracket, what stands inside between commas, and the closing one."""
    if isinstance(value, ast.Dict):
        pairs = zip(value.keys, value.values, strict=True)
        return "{", [(f"{source(key)}: ", item) for key, item in pairs if key is not None], "}"
    if isinstance(value, ast.Call):
        named = [(f"{keyword.arg}=", keyword.value) for keyword in value.keywords]
        return f"{source(value.func)}(", [*(("", arg) for arg in value.args), *named], ")"
    if isinstance(value, ast.List | ast.Tuple):
        opening, closing = "[]" if isinstance(value, ast.List) else "()"
        return opening, [("", item) for item in value.elts], closing
    return "(", [("", value)], ")"


def signature(name: str, params: list[tuple[str, str]], result: str, types: str) -> Block:
    """Return the block of a method with an empty body; parameters go one a line where one line is too short.

    params: each parameter's text and its shape. types: the comment of the one-line form.
    """
    one = f"def {name}({', '.join(['self', *(text for text, _ in params)])}) -> {result}"
    if len(one) + len("    :") <= WIDTH:
        return Block(one, comment=types)
    lines = [_commented(f"        {text},", shape) for text, shape in params]
    return Block("\n".join([f"def {name}(", "        self,", *lines, f"    ) -> {result}"]))


def returned(count: int) -> str:
    """Return the type of what a method returns: a tensor, so many of them, or any number where those fill a line."""
    each = f"tuple[{', '.join(['Tensor'] * count)}]"
    many = each if len(f"    ) -> {each}:") <= WIDTH else "tuple[Tensor, ...]"
    return "Tensor" if count == 1 else many


def _commented(text: str, comment: str) -> str:
    """Append a comment unless the line would grow too long."""
    whole = f"{text}  # {comment}"
    return whole if comment and len(whole) <= WIDTH else text
