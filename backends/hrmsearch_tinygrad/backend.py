"""The entry point: names the backend and compiles graphs for it."""

from collections.abc import Mapping

from hrmsearch.ir.graph import Graph
from hrmsearch.runtime import Options, Target
from hrmsearch_tinygrad.devices import devices, pick
from hrmsearch_tinygrad.emit import emit
from hrmsearch_tinygrad.executable import TinygradExecutable


class Backend:
    """Runs graphs with tinygrad, from one readable source file that needs tinygrad alone."""

    name = "tinygrad"

    def compile(self, graph: Graph, options: Options) -> TinygradExecutable:
        """Return an executable for a graph.

        Raises BackendError for a device that is not here.
        """
        return TinygradExecutable(graph, options)

    def emit(self, graph: Graph) -> str:
        """Return the source that `compile` would run."""
        return emit(graph)

    def target(self, device: str) -> Target:
        """Return the kind of a device; a linear scan is run by its definition.

        Raises BackendError for a device that is not here.
        """
        return Target(self.name, pick(device, "float32").partition(":")[0].lower(), offered=())

    def devices(self) -> Mapping[str, str]:
        """Return the devices, each with a description or the reason why it cannot be used."""
        return devices()
