"""Arrays to tensors and back. What lasts is written in place, where a captured step knows its memory."""

# tinygrad's own annotations are partial
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from tinygrad.device import Buffer, Device
from tinygrad.dtype import DType, strong_dtype
from tinygrad.tensor import Tensor
from tinygrad.uop import Ops

Array = NDArray[Any]
Tensors = dict[str, Tensor]


_HAVE_MEMORY: ContextVar[bool] = ContextVar("have_memory", default=True)


@contextmanager
def without_memory() -> Generator[None]:
    """Make tensors without memory, to which nothing is written, so that their device need not be here."""
    before = _HAVE_MEMORY.set(False)
    try:
        yield
    finally:
        _HAVE_MEMORY.reset(before)


def have_memory() -> bool:
    """Return whether tensors get memory here."""
    return _HAVE_MEMORY.get()


def empty(shape: Sequence[Any], dtype: DType) -> Tensor:
    """Return a tensor with memory but without values, to be written by a step."""
    made = Tensor.empty(*shape, dtype=dtype)
    if have_memory():
        _memory(made)
    return made


def write(tensor: Tensor, array: Array) -> None:
    """Copy an array into the memory of a tensor."""
    if not have_memory():
        return
    given = np.ascontiguousarray(array, dtype=np.dtype(tensor.dtype.fmt))
    host = Buffer("NPY", given.size, tensor.dtype, opaque=given)
    _memory(tensor).copy_from(host)


def _memory(tensor: Tensor) -> Buffer:
    return cast("Buffer", tensor.uop.buffer).ensure_allocated()


def put(tensors: Mapping[str, Tensor], arrays: Mapping[str, Array]) -> None:
    """Copy arrays into the memory of tensors, by name."""
    for name, array in arrays.items():
        write(tensors[name], array)


def tensor(array: Array, dtype: DType) -> Tensor:
    """Return an array as a tensor on the default device."""
    made = empty(array.shape, dtype)
    write(made, array)
    return made


def owned(value: Tensor) -> Tensor:
    """Return a value that has memory of its own when it is realized, as constants and views of inputs have not."""
    strong = value.cast(strong_dtype(value.dtype))
    computed = strong.uop.device is not None and strong.uop.base.op is not Ops.BUFFER
    return strong if computed else strong.clone(Device.DEFAULT)


def realize(tensors: Iterable[Tensor]) -> None:
    """Run what several tensors wait for, together."""
    found = list(tensors)
    if found:
        Tensor.realize(*found)


def to_numpy(tensors: Mapping[str, Tensor]) -> dict[str, Array]:
    """Return tensors as arrays of their own; bfloat16 becomes float32."""
    return {name: value.numpy().copy() for name, value in tensors.items()}
