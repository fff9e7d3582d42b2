"""The reference backend: runs the op table's NumPy meanings in float64, and differentiates by finite differences."""

from hrmsearch_reference.backend import Backend as Backend
from hrmsearch_reference.executable import ReferenceExecutable as ReferenceExecutable
