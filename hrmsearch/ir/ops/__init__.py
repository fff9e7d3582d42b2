"""The op table: every op kind, declared once. Importing this package fills it."""

from hrmsearch.ir.ops import causal_conv, composites, contraction, elementwise, layout, leaves, mlstm, structured
from hrmsearch.ir.ops.composites import LINEAR_SCAN_FORMS as LINEAR_SCAN_FORMS
from hrmsearch.ir.ops.composites import linear_scan_forms as linear_scan_forms
from hrmsearch.ir.ops.contraction import einsum_letters as einsum_letters
from hrmsearch.ir.ops.contraction import einsum_words as einsum_words
from hrmsearch.ir.ops.leaves import constant as constant
from hrmsearch.ir.ops.structured import untouched as untouched
from hrmsearch.ir.ops.table import Flow as Flow
from hrmsearch.ir.ops.table import How as How
from hrmsearch.ir.ops.table import OpDef as OpDef
from hrmsearch.ir.ops.table import Recurrence as Recurrence
from hrmsearch.ir.ops.table import Work as Work
from hrmsearch.ir.ops.table import aligned as aligned
from hrmsearch.ir.ops.table import lookup as lookup
from hrmsearch.ir.ops.table import op_kinds as op_kinds

MODULES = (leaves, elementwise, contraction, layout, structured, composites, causal_conv, mlstm)
