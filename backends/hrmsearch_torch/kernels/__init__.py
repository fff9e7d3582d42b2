"""Generated kernels for recurrences: a step's scalar operations, printed as C for the CPU."""

from hrmsearch_torch.kernels.build import compiler as compiler
from hrmsearch_torch.kernels.ops import Scan as Scan
