"""The entry point: names the backend and compiles graphs for it."""

from collections.abc import Mapping

from hrmsearch.errors import BackendError
from hrmsearch.ir import Graph, text
from hrmsearch.runtime import Options, Target, expand
from hrmsearch_reference.executable import ReferenceExecutable


class Backend:
    """Interprets a graph in float64, whatever precision is asked: every other backend is held to it."""

    name = "reference"

    def compile(self, graph: Graph, options: Options) -> ReferenceExecutable:
        """Return an executable for a graph.

        Raises BackendError for a device other than `cpu`.
        """
        self.target(options.device)
        return ReferenceExecutable(graph, options)

    def emit(self, graph: Graph) -> str:
        """Return the text of the graph that is interpreted: composites replaced by their definitions."""
        return text(expand(graph))

    def target(self, device: str) -> Target:
        """Return the only device; a linear scan is run by its definition.

        Raises BackendError for another device.
        """
        if device != "cpu":
            raise BackendError(f"the reference backend runs on cpu, not {device!r}")
        return Target(self.name, device, offered=())

    def devices(self) -> Mapping[str, str]:
        """Return the only device."""
        return {"cpu": "NumPy, float64"}
