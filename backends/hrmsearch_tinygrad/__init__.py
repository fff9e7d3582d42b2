"""The tinygrad backend: emits a standalone tinygrad program and runs exactly that."""

from hrmsearch_tinygrad.backend import Backend as Backend
from hrmsearch_tinygrad.emit import emit as emit
from hrmsearch_tinygrad.executable import TinygradExecutable as TinygradExecutable
