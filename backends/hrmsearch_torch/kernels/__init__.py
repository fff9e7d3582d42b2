"""Generated kernels for recurrences: a step's scalar operations, printed as C for the CPU."""

from hrmsearch_torch.kernels.build import compiler as compiler
from hrmsearch_torch.kernels.install import available as available
from hrmsearch_torch.kernels.install import loaded as loaded
from hrmsearch_torch.kernels.install import printed as printed
from hrmsearch_torch.kernels.install import scans as scans
from hrmsearch_torch.kernels.ops import Scan as Scan
