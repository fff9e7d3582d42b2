"""Recurrences as lanes: a pointwise recurrence along one axis, described for printers of fast kernels.

`describe` reads a function of a graph; `pullback` differentiates one step of it. A backend prints both.
"""

from hrmsearch.recurrence.adjoint import Jacobian as Jacobian
from hrmsearch.recurrence.adjoint import Pullback as Pullback
from hrmsearch.recurrence.adjoint import jacobian as jacobian
from hrmsearch.recurrence.adjoint import needed as needed
from hrmsearch.recurrence.adjoint import pullback as pullback
from hrmsearch.recurrence.describe import NoRecurrence as NoRecurrence
from hrmsearch.recurrence.describe import describe as describe
from hrmsearch.recurrence.model import Part as Part
from hrmsearch.recurrence.model import Port as Port
from hrmsearch.recurrence.model import Product as Product
from hrmsearch.recurrence.model import Recurrence as Recurrence
from hrmsearch.recurrence.model import Role as Role
from hrmsearch.recurrence.titles import TITLE as TITLE
from hrmsearch.recurrence.titles import is_titled as is_titled
