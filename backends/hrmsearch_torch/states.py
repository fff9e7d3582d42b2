"""State dicts as `torch.save` writes them, read without running what a pickle may hold."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false

import warnings
from pathlib import Path
from typing import Any, cast

import torch

from hrmsearch.errors import RunError
from hrmsearch.runtime import Array


def read_state(path: Path) -> dict[str, Array]:
    """Return the tensors of a file by name; bfloat16 becomes float32, which holds it exactly.

    Raises RunError for a file that is missing, broken, or holds anything but tensors by name.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # on foreign bytes torch's reader raises all kinds, and advises to let the file run code
        raise RunError(f"{path}: is no safetensors file and no torch file of tensors alone") from error
    if not isinstance(found, dict):
        raise RunError(f"{path}: holds a {type(found).__name__}, not tensors by name")
    arrays: dict[str, Array] = {}
    for name, value in cast("dict[Any, Any]", found).items():
        if not isinstance(name, str) or not isinstance(value, torch.Tensor):
            raise RunError(f"{path}: {name} is a {type(value).__name__}, not a tensor; give the state dict alone")
        wide = value.float() if value.dtype == torch.bfloat16 else value
        arrays[name] = wide.detach().cpu().numpy()
    return arrays
