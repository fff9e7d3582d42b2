"""Where the free choices of an example come from: Hypothesis, or the record of an example that failed.

Every draw has a name and is an integer, a flag or a list of integers, so that an example is a JSON object which a
person can read and change.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from hrmsearch.errors import HrmsearchError

if TYPE_CHECKING:
    from hypothesis.strategies import DataObject


class ReplayError(HrmsearchError):
    """A replay cannot be read, or draws something that this model does not allow."""


class Draws(Protocol):
    """Named choices; values holds those made so far."""

    values: dict[str, Any]

    def integer(self, name: str, low: int, high: int) -> int:
        """Return an integer from low to high, both included."""
        ...

    def flag(self, name: str) -> bool:
        """Return yes or no."""
        ...

    def integers(self, name: str, low: int, high: int, length: int) -> list[int]:
        """Return as many integers from low to high."""
        ...

    def permutation(self, name: str, length: int) -> list[int]:
        """Return 0, 1, ..., length - 1 in some order."""
        ...


class Drawn:
    """Choices that Hypothesis makes, and shrinks when an example fails."""

    def __init__(self, data: "DataObject") -> None:
        self._data = data
        self.values: dict[str, Any] = {}

    def integer(self, name: str, low: int, high: int) -> int:
        """Draw an integer."""
        from hypothesis import strategies as st

        return self._keep(name, self._data.draw(st.integers(low, high), name))

    def flag(self, name: str) -> bool:
        """Draw yes or no."""
        from hypothesis import strategies as st

        return self._keep(name, self._data.draw(st.booleans(), name))

    def integers(self, name: str, low: int, high: int, length: int) -> list[int]:
        """Draw a list of integers."""
        from hypothesis import strategies as st

        entries = st.lists(st.integers(low, high), min_size=length, max_size=length)
        return self._keep(name, self._data.draw(entries, name))

    def permutation(self, name: str, length: int) -> list[int]:
        """Draw an order."""
        from hypothesis import strategies as st

        return self._keep(name, list(self._data.draw(st.permutations(range(length)), name)))

    def _keep(self, name: str, value: Any) -> Any:
        assert name not in self.values, f"{name} is drawn twice"
        self.values[name] = value
        return value


class Replayed:
    """Choices taken from the record of an example.

    Raises ReplayError for a choice that is missing or does not fit the model.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = dict(values)

    def integer(self, name: str, low: int, high: int) -> int:
        """Take an integer."""
        value = self._take(name)
        self._require(_is_int(value) and low <= value <= high, name, f"an integer from {low} to {high}")
        return value

    def flag(self, name: str) -> bool:
        """Take yes or no."""
        value = self._take(name)
        self._require(isinstance(value, bool), name, "true or false")
        return value

    def integers(self, name: str, low: int, high: int, length: int) -> list[int]:
        """Take a list of integers."""
        value = _integers(self._take(name))
        fits = value is not None and len(value) == length and all(low <= entry <= high for entry in value)
        self._require(fits, name, f"{length} integers from {low} to {high}")
        return list(value or ())

    def permutation(self, name: str, length: int) -> list[int]:
        """Take an order."""
        value = _integers(self._take(name))
        self._require(sorted(value or ()) == list(range(length)), name, f"0 to {length - 1} in some order")
        return list(value or ())

    def _take(self, name: str) -> Any:
        if name not in self.values:
            raise ReplayError(f"the replay lacks {name!r}; it has {', '.join(self.values) or 'nothing'}")
        return self.values[name]

    def _require(self, fits: bool, name: str, what: str) -> None:
        if not fits:
            raise ReplayError(f"the replay's {name!r} is {self.values[name]!r}, not {what}")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _integers(value: Any) -> Sequence[int] | None:
    if not isinstance(value, list):
        return None
    entries = cast("list[Any]", value)
    return entries if all(map(_is_int, entries)) else None
