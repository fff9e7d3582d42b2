"""Alphabets turn text into ids and back."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hrmsearch.tasks.alphabets import Ascii97, Utf8Bytes

KNOWN = [chr(i) for i in range(32, 127)] + ["\n", "\t"]


def test_ascii97_puts_code_points_32_to_126_first_then_newline_then_tab() -> None:
    ids, unknown = Ascii97().ids("".join(KNOWN))
    assert ids.tolist() == list(range(97))
    assert ids.dtype == np.int32
    assert unknown == 0


def test_ascii97_reads_every_other_character_as_a_space_and_counts_it() -> None:
    ids, unknown = Ascii97().ids("a\u00e9\r\x7f\x00\U0001f600b\ud800")
    assert ids.tolist() == [65, 0, 0, 0, 0, 0, 66, 0]
    assert unknown == 6


@given(st.text(st.sampled_from(KNOWN)))
def test_ascii97_decodes_what_it_encodes(text: str) -> None:
    alphabet = Ascii97()
    assert alphabet.decode(alphabet.ids(alphabet.units(text))[0]) == text


@given(st.text())
def test_bytes_decode_what_they_encode(text: str) -> None:
    alphabet = Utf8Bytes()
    ids, unknown = alphabet.ids(alphabet.units(text))
    assert alphabet.decode(ids) == text
    assert unknown == 0


def test_bytes_that_are_no_utf8_decode_to_a_replacement_character() -> None:
    assert Utf8Bytes().decode(np.array([65, 255], np.int32)) == "A\ufffd"
