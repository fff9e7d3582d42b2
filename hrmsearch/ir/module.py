"""A spec part whose methods define functions of the graph; the base of blocks, memories and losses."""

from hrmsearch.ir.builder import Builder
from hrmsearch.ir.graph import Value
from hrmsearch.spec.registry import Kind


class Module(Kind):
    """A kind whose methods define functions of the graph; equal fields share one function."""

    def call(
        self, b: Builder, prefix: str, *args: Value, method: str = "build", place: str | None = None
    ) -> tuple[Value, ...]:
        """Call one of the module's methods as a function with its parameters below `prefix`.

        `place` is the spec path, by default `prefix` below the current one.
        """
        title = type(self).__name__ if method == "build" else f"{type(self).__name__}_{method}"
        key = (type(self), method, self.model_dump_json())
        return b.call(prefix, getattr(self, method), *args, title=title, key=key, place=place)

    def apply(self, b: Builder, prefix: str, *args: Value, place: str | None = None) -> Value:
        """Call `build` where it has one result, and return that."""
        (result,) = self.call(b, prefix, *args, place=place)
        return result
