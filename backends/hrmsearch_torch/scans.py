"""The forms of `linear_scan` that torch has."""

from collections.abc import Mapping

#: each with its function at the head of an emitted file
FORMS: Mapping[str, str] = {"step": "by_step", "chunk": "by_chunk", "fft": "by_fft", "scan": "by_scan"}
#: what a scan without a form gets
DEFAULT = "chunk"
