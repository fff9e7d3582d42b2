"""Parameters that are kept in one number format while a module computes with copies in another."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false, reportPrivateUsage=false, reportPrivateImportUsage=false

from collections.abc import Collection, Generator, Mapping
from contextlib import contextmanager

import torch

Parameters = dict[str, torch.nn.Parameter]


@contextmanager
def computing(dtype: torch.dtype) -> Generator[None]:
    """Have new tensors in a number format."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


class Kept:
    """The parameters of a module by path, kept in `dtype`; the module's own where they have it.

    Otherwise the module's are copies: `refresh` follows every change of the parameters, and `collect` every gradient.
    """

    def __init__(self, held: Mapping[str, torch.nn.Parameter], dtype: torch.dtype) -> None:
        self._copies = {path: param for path, param in held.items() if param.dtype != dtype}
        kept = {p: torch.nn.Parameter(x.detach().to(dtype), x.requires_grad) for p, x in self._copies.items()}
        self.params: Parameters = {**held, **kept}

    def freeze(self, paths: Collection[str]) -> None:
        """Have parameters take no gradient."""
        for path in paths:
            for param in (self.params[path], self.inside(path)):
                param.requires_grad_(False)

    def inside(self, path: str) -> torch.nn.Parameter:
        """Return what the module computes with."""
        return self._copies.get(path, self.params[path])

    @torch.no_grad()
    def refresh(self) -> None:
        """Have the module compute with what the parameters are now."""
        if self._copies:
            torch._foreach_copy_([*self._copies.values()], [self.params[path] for path in self._copies])

    def collect(self) -> None:
        """Add the gradients of copies to those of the parameters."""
        for path, copy in self._copies.items():
            if copy.grad is None:
                continue
            param = self.params[path]
            found = copy.grad.to(param.dtype)
            param.grad = found if param.grad is None else param.grad.add_(found)
            copy.grad = None
