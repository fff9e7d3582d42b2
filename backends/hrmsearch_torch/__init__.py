"""The PyTorch backend: emits a standalone module and runs exactly that."""

from hrmsearch_torch.backend import Backend as Backend
from hrmsearch_torch.emit import emit as emit
from hrmsearch_torch.executable import TorchExecutable as TorchExecutable
