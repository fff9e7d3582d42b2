"""Which readings a spec asks for, and whether anything has them."""

from collections.abc import Collection

from hrmsearch.errors import FieldError


class Asked:
    """Answers whether a reading is to be told.

    names: those asked for; one stands for all that begin with it, `energy` for `energy_L`.
    """

    def __init__(self, names: Collection[str]) -> None:
        self.names = tuple(names)
        self._found: set[str] = set()
        self._offered: set[str] = set()

    def __call__(self, reading: str) -> bool:
        """Return whether to tell a reading."""
        self._offered.add(reading)
        found = {name for name in self.names if reading == name or reading.startswith(f"{name}_")}
        self._found |= found
        return bool(found)

    def check(self) -> None:
        """Raise FieldError for a name of `train.telemetry` that nothing answered to."""
        for i, name in enumerate(self.names):
            if name not in self._found:
                known = ", ".join(sorted(self._offered)) or "nothing to tell"
                raise FieldError(f"train.telemetry.of[{i}]", f"no part here tells {name!r}; there is {known}")
