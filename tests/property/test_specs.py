"""What must hold of every spec: it lowers, prints, reads back, and keeps its meaning through the compiler."""

from hypothesis import given, settings

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.ir import parse, text, verify
from hrmsearch.spec.load import resolved
from hrmsearch.spec.model import Spec
from hrmsearch.testing import specs


@given(specs())
def test_a_spec_lowers_to_a_graph_that_verifies_and_reads_back(spec: Spec) -> None:
    graph = hs.lower(spec)
    once = text(graph)
    assert text(verify(parse(once))) == once


@given(specs())
def test_a_rendered_spec_loads_as_the_same_spec(spec: Spec) -> None:
    assert resolved(hs.loads(hs.render(spec))) == resolved(spec)


@settings(max_examples=25)
@given(specs())
def test_the_pipeline_is_idempotent(spec: Spec) -> None:
    once = passes.run(hs.lower(spec))
    assert text(passes.run(once)) == text(once)
