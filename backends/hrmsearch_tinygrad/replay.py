"""Steps that are captured once and then replayed, one per static structure."""

from collections.abc import Callable, Hashable
from typing import Any

from tinygrad.engine.jit import TinyJit
from tinygrad.tensor import Tensor

Step = Callable[..., Tensor | list[Tensor] | dict[str, Tensor]]


class Replay:
    """Captured steps by their keys. capture: whether to; otherwise every step is scheduled anew.

    A step takes lists of tensors with memory of their own, realizes what it writes, and may return tensors, which the
    next run of the same step overwrites. Its key says everything about it that is not in those tensors.
    """

    def __init__(self, capture: bool = True) -> None:
        self._capture = capture
        #: TinyJits by the keys of their steps
        self.captured: dict[Hashable, Any] = {}

    def __call__(self, key: Hashable, step: Step, *tensors: list[Tensor]) -> Any:
        """Run a step; its function is called only where no step with that key was captured."""
        if not self._capture:
            return step(*tensors)
        if key not in self.captured:
            captured: Any = TinyJit(step)
            # tinygrad would run the first call as it is, so that what a step makes for good is made before the capture;
            # here everything that lasts has its memory by then
            captured.cnt = 1
            self.captured[key] = captured
        return self.captured[key](*tensors)
