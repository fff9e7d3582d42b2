"""The entry point: names the backend and compiles graphs for it."""

from collections.abc import Mapping, Sequence

from hrmsearch.ir.graph import Graph
from hrmsearch.runtime import Options, Span, StartCost, Target
from hrmsearch_tinygrad.devices import devices, kind
from hrmsearch_tinygrad.emit import emit
from hrmsearch_tinygrad.executable import TinygradExecutable
from hrmsearch_tinygrad.scans import FORMS
from hrmsearch_tinygrad.starting import kernels, start_cost


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
        """Return the kind of a device, which need not be here, and the forms of a linear scan.

        Raises BackendError for a device that tinygrad is not used on.
        """
        return Target(self.name, kind(device).lower(), offered=tuple(FORMS))

    def kernels(self, graph: Graph, options: Options, spans: Sequence[Span]) -> str:
        """Return one file with the kernels of a forward pass and of every span's train step, in the device's language.

        The device need not be here. Raises BackendError for one without the precision.
        """
        return kernels(graph, options, spans)

    def start_cost(self, graph: Graph, options: Options, spans: Sequence[Span]) -> StartCost:
        """Take the train step of every span from nothing, and return what that took."""
        return start_cost(graph, options, spans)

    def devices(self) -> Mapping[str, str]:
        """Return the devices, each with a description or the reason why it cannot be used."""
        return devices()
