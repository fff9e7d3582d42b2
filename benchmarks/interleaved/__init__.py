"""Implementations of one function, timed in turn in one process, each beside its error."""

from interleaved.measuring import AGREE as AGREE
from interleaved.measuring import Form as Form
from interleaved.measuring import Measured as Measured
from interleaved.measuring import Problem as Problem
from interleaved.measuring import measure as measure
from interleaved.reporting import Report as Report
from interleaved.reporting import about as about
