"""Emission: writes a graph as one readable Python module; a backend supplies the dialect of its framework."""

from hrmsearch.emission.dialect import Dialect as Dialect
from hrmsearch.emission.dialect import Kind as Kind
from hrmsearch.emission.dialect import Scope as Scope
from hrmsearch.emission.module import write as write
from hrmsearch.emission.source import load_source as load_source
from hrmsearch.emission.tree import methods as methods
