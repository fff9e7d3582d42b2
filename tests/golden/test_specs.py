"""The IR of every shipped spec after the pipeline: a refactor shows an empty diff."""

from collections.abc import Callable

import pytest

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.ir import parse, text
from hrmsearch.spec.load import resolved, shipped


@pytest.mark.parametrize("name", shipped())
def test_the_ir_of_a_shipped_spec_is_as_it_was(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{name}.ir", text(passes.run(hs.lower(hs.load(name)))))


@pytest.mark.parametrize("name", shipped())
def test_the_ir_of_a_shipped_spec_reads_back(name: str) -> None:
    once = text(hs.lower(hs.load(name)))
    assert text(parse(once)) == once


@pytest.mark.parametrize("name", shipped())
def test_a_rendered_spec_is_the_same_spec(name: str) -> None:
    spec = hs.load(name)
    assert resolved(hs.loads(hs.render(spec))) == resolved(spec)
