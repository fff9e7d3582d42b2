"""For tests, ours and other people's: random specs, a toy task, and what must hold of any model."""

from hrmsearch.testing.check import Report as Report
from hrmsearch.testing.check import check as check
from hrmsearch.testing.check import replay as replay
from hrmsearch.testing.specs import spec_data as spec_data
from hrmsearch.testing.specs import specs as specs
from hrmsearch.testing.toy import Toy as Toy
