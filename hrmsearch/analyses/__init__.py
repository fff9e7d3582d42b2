"""Analyses: what can be known of a graph before a tensor exists."""

from hrmsearch.analyses.cost import Cost as Cost
from hrmsearch.analyses.cost import PassCost as PassCost
from hrmsearch.analyses.cost import cost as cost
from hrmsearch.analyses.diagnostics import Diagnostic as Diagnostic
from hrmsearch.analyses.diagnostics import page as page
from hrmsearch.analyses.diagnostics import rules as rules
from hrmsearch.analyses.diagnostics import validate as validate
