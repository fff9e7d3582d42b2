"""Presets: named settings of a kind. `kind/preset` is short for `{kind: kind, preset: preset}`.

A kind publishes them as `presets`; fields beside `preset` replace those it sets. A spec that was read holds the fields
only, so a preset and the same settings written out are one spec.
"""

import re
from typing import Final

#: the key that names a preset beside `kind`
KEY: Final = "preset"

_SHORT: Final = re.compile(r"(?P<kind>\w+)/(?P<preset>[\w.-]+)")


def split(text: str) -> dict[str, str] | None:
    """Return the mapping that a short form stands for; None for other text."""
    match = _SHORT.fullmatch(text)
    return match.groupdict() if match else None
