"""The entry point: names the backend and compiles graphs for it."""

from collections.abc import Mapping

from hrmsearch.ir.graph import Graph
from hrmsearch.runtime import Options
from hrmsearch_tinygrad.devices import devices
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

    def devices(self) -> Mapping[str, str]:
        """Return the devices, each with a description or the reason why it cannot be used."""
        return devices()
