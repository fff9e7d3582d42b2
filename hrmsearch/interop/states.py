"""Files of arrays by name, as others write them: safetensors, or what torch saves."""

from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hrmsearch.errors import RunError
from hrmsearch.runtime import ReadsStates, capable

Array = NDArray[Any]

#: safetensors begin with the length of a JSON object, in eight bytes
_JSON_AT: Final = 8
_FLOATS: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def read_state(path: Path) -> dict[str, Array]:
    """Return the float arrays of a file by name; bfloat16 becomes float32, which holds it exactly.

    Raises RunError for a file that is missing, broken or of another kind, BackendError where torch has to read it and
    is not installed.
    """
    if not path.is_file():
        raise RunError(f"{path}: no such checkpoint")
    with open(path, "rb") as stream:
        begins = stream.read(_JSON_AT + 1)
    if begins[_JSON_AT:] != b"{":
        return capable("torch", ReadsStates, "read what torch saves").read_state(path)
    return _safetensors(path)


def _safetensors(path: Path) -> dict[str, Array]:
    """Read safetensors, bfloat16 too, which NumPy does not have."""
    import safetensors
    from safetensors import SafetensorError

    library: Any = safetensors  # its annotations are partial
    try:
        entries = library.deserialize(path.read_bytes())
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path}: truncated, or not a safetensors file ({error})") from error
    return {name: _decoded(f"{path}: {name}", **entry) for name, entry in entries}


def _decoded(place: str, data: bytes, dtype: str, shape: list[int]) -> Array:
    if dtype == "BF16":  # the upper halves of float32 numbers
        upper = np.frombuffer(data, "<u2").astype(np.uint32)
        return (upper << np.uint32(16)).view(np.float32).reshape(shape)
    if dtype not in _FLOATS:
        raise RunError(f"{place} holds {dtype}, not floats")
    return np.frombuffer(data, _FLOATS[dtype]).reshape(shape)
