"""Checkpoint files: arrays by path as safetensors, written whole and read with a reason when they do not fit."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrmsearch.errors import RunError
from hrmsearch.files import write
from hrmsearch.ir.graph import Graph

Array = NDArray[Any]

# how many paths an error names before it only counts
_NAMED = 3


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays by path, into a new folder if need be; a reader never sees half a file.

    Raises RunError if the file cannot be written.
    """
    from safetensors.numpy import save

    # safetensors writes memory as it lies, so a transposed view must be laid out first
    write(path, save({name: np.array(array, order="C") for name, array in arrays.items()}), parents=True)


def read_arrays(path: Path) -> dict[str, Array]:
    """Return the arrays that a file holds, in their stored dtype.

    Raises RunError if the file is missing, truncated or no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    if not path.is_file():
        raise RunError(f"{path}: no such checkpoint")
    try:
        return dict(load(path.read_bytes()))
    except (SafetensorError, OSError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{path}: truncated, or not a safetensors file of number arrays ({error})") from error


def read_params(path: Path, graph: Graph) -> dict[str, Array]:
    """Return a graph's parameters from a file, in the graph's order and the stored dtype.

    Raises RunError that names the file and what differs, if it is no file of this graph's parameters.
    """
    return check_params(graph, read_arrays(path), str(path))


def check_params(graph: Graph, params: Mapping[str, Array], source: str = "the parameters") -> dict[str, Array]:
    """Return parameters in the graph's order, if their paths and shapes are the graph's and their entries are floats.

    Raises RunError that leads with `source` and says what differs.
    """
    declared = graph.params
    missing = [path for path in declared if path not in params]
    foreign = sorted(path for path in params if path not in declared)
    if missing or foreign:
        parts = [f"{word} {_some(paths)}" for word, paths in (("lack", missing), ("have foreign", foreign)) if paths]
        raise RunError(f"{source}: not of this graph: they {' and '.join(parts)}")
    for path, op in declared.items():
        shape, want = params[path].shape, op.result.type.shape({})
        if shape != want:
            raise RunError(f"{source}: {path} has shape {list(shape)}, the graph wants {list(want)}")
        if params[path].dtype.kind != "f":
            raise RunError(f"{source}: {path} holds {params[path].dtype}, not floats")
    return {path: params[path] for path in declared}


def below(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Return the arrays whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


class ParamFiles(ABC):
    """What holds the parameters of a graph, as something that writes and reads them as safetensors."""

    graph: Graph

    @property
    @abstractmethod
    def params(self) -> dict[str, Array]:
        """A copy of the parameters."""

    @abstractmethod
    def set_params(self, params: Mapping[str, Array]) -> None:
        """Replace the parameters."""

    def save(self, path: Path) -> None:
        """Write the parameters as safetensors."""
        write_arrays(path, self.params)

    def load(self, path: Path) -> None:
        """Read parameters from safetensors that any backend wrote.

        Raises RunError for a missing, truncated or foreign file.
        """
        self.set_params(read_params(path, self.graph))


def _some(paths: list[str]) -> str:
    rest = len(paths) - _NAMED
    return ", ".join(paths[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
