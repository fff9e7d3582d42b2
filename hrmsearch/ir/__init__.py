"""The IR: a small graph of typed SSA values, with text form, verifier, builder and one table of ops."""

from hrmsearch.ir.builder import Builder as Builder
from hrmsearch.ir.builder import Context as Context
from hrmsearch.ir.graph import TELEMETRY as TELEMETRY
from hrmsearch.ir.graph import Function as Function
from hrmsearch.ir.graph import Graph as Graph
from hrmsearch.ir.graph import Halt as Halt
from hrmsearch.ir.graph import Nest as Nest
from hrmsearch.ir.graph import Op as Op
from hrmsearch.ir.graph import Phase as Phase
from hrmsearch.ir.graph import Region as Region
from hrmsearch.ir.graph import Value as Value
from hrmsearch.ir.graph import join_path as join_path
from hrmsearch.ir.graph import keyed_params as keyed_params
from hrmsearch.ir.graph import moves as moves
from hrmsearch.ir.init import generator as generator
from hrmsearch.ir.init import initial_params as initial_params
from hrmsearch.ir.parser import parse as parse
from hrmsearch.ir.printer import text as text
from hrmsearch.ir.types import Axis as Axis
from hrmsearch.ir.types import DType as DType
from hrmsearch.ir.types import Lifetime as Lifetime
from hrmsearch.ir.types import Size as Size
from hrmsearch.ir.types import Type as Type
from hrmsearch.ir.types import axis as axis
from hrmsearch.ir.verify import verify as verify
