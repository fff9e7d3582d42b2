"""The algebra of H/L kernels: a schedule of ticks as one affine map, in closed form, in numbers and as a graph."""

from hrmsearch.algebra.affine import Affine as Affine
from hrmsearch.algebra.bounds import jury as jury
from hrmsearch.algebra.bounds import row_sums as row_sums
from hrmsearch.algebra.closed import Closed as Closed
from hrmsearch.algebra.closed import closed_cycle as closed_cycle
from hrmsearch.algebra.closed import geometric as geometric
from hrmsearch.algebra.closed import letters as letters
from hrmsearch.algebra.ring import Complex as Complex
from hrmsearch.algebra.ring import real_block as real_block
from hrmsearch.algebra.ring import real_parts as real_parts
from hrmsearch.algebra.schedule import Level as Level
from hrmsearch.algebra.schedule import Schedule as Schedule
from hrmsearch.algebra.show import equations as equations
from hrmsearch.algebra.show import latex as latex
from hrmsearch.algebra.show import text as text
from hrmsearch.algebra.stable import ARRAYS as ARRAYS
from hrmsearch.algebra.stable import Maths as Maths
from hrmsearch.algebra.stable import Rule as Rule
from hrmsearch.algebra.stable import Weights as Weights
from hrmsearch.algebra.stable import convex as convex
from hrmsearch.algebra.stable import formulas as formulas
from hrmsearch.algebra.stable import graphs as graphs
from hrmsearch.algebra.stable import rates as rates
