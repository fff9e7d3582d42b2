"""What is wrong with a value, in words: pydantic's error types -> one sentence each."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pydantic_core import ErrorDetails

LONGEST_TEXT_SHOWN: Final = 60  # characters

# What was expected, by pydantic's error type; filled in from the error's context.
_EXPECTED: Final = {
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "none_required": "null",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
    "multiple_of": "a multiple of {multiple_of}",
    "string_too_short": "at least {min_length} characters",
    "string_too_long": "at most {max_length} characters",
    "string_pattern_mismatch": "text that matches {pattern}",
    "too_short": "at least {min_length} items",
    "too_long": "at most {max_length} items",
}
_BETWEEN_CHOICES: Final = re.compile(r", | or ")


class FieldProblem(ValueError):
    """Raised by a model validator that knows which field is wrong; the error then points there.

    `at` is the path from the validated model: `raise FieldProblem("must divide dim", "mixer", "heads")`. With `key` the
    error points at the field's key instead of its value.
    """

    def __init__(self, message: str, *at: str | int, key: bool = False) -> None:
        super().__init__(message)
        self.at = at
        self.key = key


def expected(error: ErrorDetails) -> str | None:
    """Return what would have been right, `at least 1`; None if the error's message has to stand alone."""
    kind, context = error["type"], error.get("ctx", {})
    if kind == "kind_form":
        return f"a mapping with a 'kind' ({context['choices']})"
    phrase = _EXPECTED.get(kind)
    if phrase is None:
        return None
    phrase = phrase.format_map({name: _number(value) for name, value in context.items()})
    return phrase.removesuffix("s") if phrase.endswith((" 1 items", " 1 characters")) else phrase


def mismatch(errors: Sequence[ErrorDetails], value: object, words: Sequence[str] = ()) -> str:
    """Return one sentence for a value that fits none of its alternatives: `expected an integer or 'none', got ...`.

    `words` are texts that are accepted beside what the errors expect.
    """
    phrases = [phrase for error in errors for phrase in _alternatives(error)] + [f"'{word}'" for word in words]
    *first, last = dict.fromkeys(phrases)
    listed = f"{', '.join(first)} or {last}" if first else last
    return f"expected {listed}, got {got(value)}" + _correction(errors, value, words)


def unknown_kind(error: ErrorDetails) -> str:
    """Return the sentence for a `kind` that its family does not have."""
    context = error.get("ctx", {})
    name, known = context["kind"], context["choices"]
    if not isinstance(name, str):
        return f"expected a kind of {context['family']} ({known}), got {got(name)}"
    near = closest(name, known.split(", "))
    hint = f"did you mean '{near}'?" if near else f"known kinds: {known}"
    return f"unknown {context['family']} kind {_quoted(name)}; {hint}"


def unknown_preset(error: ErrorDetails) -> str:
    """Return the sentence for a preset that its kind does not publish."""
    context = error.get("ctx", {})
    name, kind, known = context["preset"], context["kind"], context["presets"]
    if not known:
        return f"{kind} has no presets"
    if not isinstance(name, str):
        return f"expected a preset of {kind} ({known}), got {got(name)}"
    near = closest(name, known.split(", "))
    hint = f"did you mean '{near}'? " if near else ""
    return f"unknown preset {_quoted(name)} of {kind}; {hint}the presets are {known}"


def standalone(error: ErrorDetails) -> str:
    """Return the sentence of an error that no table entry covers: a validator's own message, or pydantic's."""
    if error["type"] in ("value_error", "assertion_error"):
        return str(error.get("ctx", {})["error"])
    message = error["msg"].replace("Input should be ", "expected ")
    return message[:1].lower() + message[1:]


def _correction(errors: Sequence[ErrorDetails], value: object, also: Sequence[str]) -> str:
    if not isinstance(value, str):
        return ""
    literals = [error for error in errors if error["type"] in ("literal_error", "enum")]
    words = [*also, *(word.strip("'") for error in literals for word in _alternatives(error))]
    families = [error.get("ctx", {})["choices"].split(", ") for error in errors if error["type"] == "kind_form"]
    near = closest(value, [*words, *(name for names in families for name in names)])
    if near is None:
        return ""
    return f"; did you mean '{near}'?" if near in words else f"; did you mean {{kind: {near}}}?"


def _alternatives(error: ErrorDetails) -> list[str]:
    phrase = expected(error)
    if phrase is None:
        return []
    # pydantic gives the choices as one text: 'pass', 'window' or 'stream'
    return _BETWEEN_CHOICES.split(phrase) if error["type"] in ("literal_error", "enum") else [phrase]


def closest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that `word` most likely means, if one is near enough."""
    from difflib import get_close_matches

    lowered = {name.lower(): name for name in known}
    near = get_close_matches(word[:LONGEST_TEXT_SHOWN].lower(), lowered, n=1)
    return lowered[near[0]] if near else None


def got(value: object) -> str:
    """Describe a value as YAML reads it: `the text '64'`, `true`, `a list of 2 items`."""
    if isinstance(value, str):
        return f"the text {_quoted(value)}" if value else "an empty text"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list | tuple):
        count = len(value)  # pyright: ignore[reportUnknownArgumentType]
        return "an empty list" if count == 0 else f"a list of {count} item{'s' if count > 1 else ''}"
    return _number(value)


def _number(value: Any) -> str:
    special = {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}
    return special.get(str(value), str(value))


def _quoted(text: str) -> str:
    return repr(text if len(text) <= LONGEST_TEXT_SHOWN else text[:LONGEST_TEXT_SHOWN] + "...")
