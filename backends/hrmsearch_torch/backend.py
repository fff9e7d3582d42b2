"""The entry point: names the backend and compiles graphs for it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hrmsearch.ir.graph import Graph
from hrmsearch.runtime import Array, Options, Span, Target
from hrmsearch_torch.devices import devices, kind, places
from hrmsearch_torch.emit import emit
from hrmsearch_torch.executable import TorchExecutable
from hrmsearch_torch.kernels import printed
from hrmsearch_torch.scans import FORMS
from hrmsearch_torch.states import read_state


class Backend:
    """Runs graphs with PyTorch, from one readable source file that needs torch alone."""

    name = "torch"

    def compile(self, graph: Graph, options: Options) -> TorchExecutable:
        """Return an executable for a graph.

        Raises BackendError for a device that is not here.
        """
        return TorchExecutable(graph, options)

    def emit(self, graph: Graph) -> str:
        """Return the source that `compile` would run."""
        return emit(graph)

    def kernels(self, graph: Graph, options: Options, spans: Sequence[Span]) -> str:
        """Return the kernels that take the place of the source's recurrences, whatever the spans.

        Raises BackendError for a device that has none, and for a graph without recurrences.
        """
        del spans
        return printed(graph, options)

    def target(self, device: str) -> Target:
        """Return the kind of a device, here or not, and the forms of a linear scan, the same on every device.

        Raises BackendError for a kind that torch does not have.
        """
        return Target(self.name, kind(device), tuple(FORMS))

    def read_state(self, path: Path) -> dict[str, Array]:
        """Return the tensors that `torch.save` wrote of a state dict, by name; nothing is unpickled but those.

        Raises RunError for any other file.
        """
        return read_state(path)

    def places(self, device: str) -> Sequence[Mapping[str, str]]:
        """Return for each GPU that `device` may mean here the environment of a process that sees no other one."""
        return places(device)

    def devices(self) -> Mapping[str, str]:
        """Return the devices, each with a description or the reason why it cannot be used."""
        return devices()
