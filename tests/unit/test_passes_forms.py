"""The form of a linear scan is the one that was measured to be the fastest nearby, where anything was measured."""

import json
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import hrmsearch as hs
from hrmsearch.cli.app import app
from hrmsearch.errors import BackendError
from hrmsearch.ir import Graph, parse, text, verify
from hrmsearch.ir.ops import LINEAR_SCAN_FORMS
from hrmsearch.passes import Target, forms, fuse
from hrmsearch.passes.forms import KERNEL, TABLE, in_form, table
from hrmsearch.runtime import backend_names, prepared
from hrmsearch.testing.check import prepare
from hrmsearch.train import RunOptions, prepared_for, source_for
from tests.leaky import leaky

Measure = Callable[..., None]


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Measure]:
    """Return a function that replaces the table by rows for torch on a CPU."""

    def write(*rows: dict[str, Any]) -> None:
        path = tmp_path / "forms.json"
        path.write_text(json.dumps([{"backend": "torch", "device": "cpu", "rows": rows}]), encoding="utf-8")
        monkeypatch.setattr(import_module("hrmsearch.passes.forms"), "TABLE", path)
        table.cache_clear()

    yield write
    table.cache_clear()


def row(tokens: int, width: int, mix: int = 1, *, varying: bool = False, **times: float) -> dict[str, Any]:
    scan = {"tokens": tokens, "width": width, "mix": mix, "varying": varying}
    return {**scan, "forward": dict.fromkeys(times, 1.0), "training": times}


def scanned(a: str = "D:4", x: str = "B, T, D:4", mix: str = "null", form: str = "null", window: int = 64) -> Graph:
    """Return a graph with one linear scan along T inside a function."""
    start = ", ".join(axis for axis in x.split(", ") if not axis.startswith("T"))
    scan = f'linear_scan(%a, %x, %h) {{axis="T", mix={mix}, form={form}}} : compute[{x}]; compute[{start}]'
    return verify(
        parse(f"""
graph "g" {{
  nest passes=1 backprop=passes:1 step=span loader=shuffled causal=true window={window}
  func @f(%a: compute[{a}], %x: compute[{x}], %h: compute[{start}]) at "f" {{
    at "f"
    %y, %end = {scan}
    return %y, %end
  }}
  main {{
    at ""
    %a = input() {{name="a"}} : compute[{a}]
    %x = input() {{name="x"}} : compute[{x}]
    %h = input() {{name="h"}} : compute[{start}]
    %y, %end = call(%a, %x, %h) {{callee="f", prefix="f"}} : compute[{x}]; compute[{start}]
    output "y" = %y
    output "end" = %end
  }}
}}
""")
    )


def chosen(graph: Graph, target: Target | None = None) -> str | None:
    """Return the form of the only scan after the compiler pass."""
    after = verify(forms(graph, target or Target("torch")))
    (form,) = (op.attrs["form"] for region in after.regions() for op in region.walk() if op.kind == "linear_scan")
    return form


def test_the_fastest_form_of_the_nearest_row_is_taken(measured: Measure) -> None:
    measured(row(64, 64, step=1.0, scan=2.0), row(4096, 64, step=9.0, chunk=3.0, scan=4.0))
    assert chosen(scanned(window=64)) == "step"
    assert chosen(scanned(window=511)) == "step"
    assert chosen(scanned(window=513)) == "chunk"


def test_rows_count_by_their_batch(measured: Measure) -> None:
    measured(row(64, 16, step=1.0, scan=2.0), row(64, 4096, step=2.0, scan=1.0))
    assert [chosen(scanned(), Target("torch", rows=rows)) for rows in (4, 1024)] == ["step", "scan"]


def test_a_scanned_axis_may_have_a_size_of_its_own(measured: Measure) -> None:
    measured(row(8, 16, step=1.0, scan=2.0), row(512, 16, step=2.0, scan=1.0))
    assert chosen(scanned(x="B, T:512, D:4", window=1)) == "scan"
    assert chosen(scanned(x="B, T:ceil(T/64), D:4", window=512)) == "step"
    assert chosen(scanned(x="B, T:Z, D:4")) is None


def test_kinds_of_scans_are_not_mistaken_for_each_other(measured: Measure) -> None:
    measured(row(64, 64, step=1.0), row(64, 64, varying=True, chunk=1.0), row(64, 64, 2, scan=1.0))
    assert chosen(scanned()) == "step"
    assert chosen(scanned(a="B, T, D:4")) == "chunk"
    assert chosen(scanned(a="D:4, N:4", mix='["D", "N"]')) == "scan"
    assert chosen(scanned(a="T, D:4, N:4", mix='["D", "N"]')) is None


def test_a_transform_is_taken_only_where_a_spec_names_it(measured: Measure) -> None:
    measured(row(64, 64, fft=1.0, step=2.0), row(64, 64, varying=True, fft=1.0, step=2.0))
    assert chosen(scanned()) == chosen(scanned(a="T, D:4")) == "step"
    assert chosen(scanned(form='"fft"')) == "fft"


def test_a_form_that_the_backend_lacks_here_is_never_taken(measured: Measure) -> None:
    measured(row(64, 64, fft=1.0, step=2.0, scan=3.0))
    assert chosen(scanned(), Target("torch", offered=("scan", "step"))) == "step"
    assert chosen(scanned(), Target("torch", offered=())) is None


def test_of_forms_that_are_about_as_fast_the_plainest_is_taken(measured: Measure) -> None:
    measured(row(64, 64, scan=1.0, chunk=1.05, step=1.2))
    assert chosen(scanned()) == "chunk"


def test_nothing_is_chosen_where_nothing_was_measured(measured: Measure) -> None:
    measured(row(64, 64, step=1.0))
    assert chosen(scanned(), Target("torch", "cuda")) is None
    assert chosen(scanned(), Target("reference")) is None


def test_a_form_that_the_spec_names_stays(measured: Measure) -> None:
    measured(row(64, 64, step=1.0))
    assert chosen(scanned(form='"fft"')) == "fft"


def test_a_kernel_is_taken_unless_a_form_was_measured_to_beat_it(measured: Measure) -> None:
    measured(row(64, 64, step=1.0, scan=2.0, kernel=1.05), row(4096, 64, step=1.0, fft=0.1, kernel=1.2))
    for window, fuses in ((64, True), (4096, False)):
        graph = scanned(window=window)
        assert ("Recurrence" in fuse(graph, Target("torch")).functions) == fuses
        assert "Recurrence" in fuse(graph, Target("torch", "cuda")).functions  # nothing was measured there
        # inside and outside, the scan has a form for where no kernel can be built
        assert chosen(fuse(graph, Target("torch"))) == "step"


def test_all_scans_can_be_put_in_one_form() -> None:
    for before in ("null", '"step"'):
        graph = in_form(scanned(form=before), "chunk")
        assert text(graph) == text(scanned(form='"chunk"'))
    assert text(in_form(scanned(a="T, D:4"), "fft")) == text(scanned(a="T, D:4"))


# -- where it runs -----------------------------------------------------------------------------------------------------

STACK = "{kind: stack, norm: {}, blocks: [{kind: residual, mixer: {kind: leaky, lifetime: stream}}]}"


def test_everything_that_compiles_a_graph_chooses_alike(measured: Measure) -> None:
    pytest.importorskip("torch")
    measured(row(4, 64, varying=True, chunk=1.0, scan=2.0))
    spec = leaky(STACK)
    graph = hs.lower(spec)
    assert 'form="chunk"' in text(hs.compile(graph).graph)
    assert 'form="chunk"' in text(prepared_for(spec, graph, RunOptions()))
    assert "by_chunk" in source_for(spec, graph, RunOptions())
    assert 'form="chunk"' in text(prepare(spec, "torch").executable.graph)


def test_a_backend_without_forms_is_left_to_itself(measured: Measure) -> None:
    measured(row(4, 64, varying=True, chunk=1.0))
    assert "form=null" in text(prepared(hs.lower(leaky(STACK)), "reference"))


def test_explain_shows_what_is_chosen_without_loading_the_backend(measured: Measure, tmp_path: Path) -> None:
    from hrmsearch.spec.load import render

    measured(row(4, 64, varying=True, step=1.0))
    path = tmp_path / "leaky.yaml"
    path.write_text(render(leaky(STACK)), encoding="utf-8")

    def explained(*arguments: str) -> str:
        return CliRunner().invoke(app, ["explain", str(path), *arguments]).output

    assert 'form="step"' in explained()
    assert "form=null" in explained("--device", "cuda")
    assert "form=null" in explained("--passes", "none")
    assert "unknown backend 'jax'; installed: " in explained("--backend", "jax")
    between = explained("--print-between")
    assert between.index("form=null") < between.index("-- after forms, the last") < between.index('form="step"')


# -- the table that is shipped -----------------------------------------------------------------------------------------


def test_the_table_names_registered_backends_and_forms_that_scans_can_have() -> None:
    for (backend, _), rows in table().items():
        assert backend in backend_names()
        assert rows
        for one in rows:
            assert one.forward.keys() == one.training.keys() > {"step"}
            possible = {*LINEAR_SCAN_FORMS, KERNEL} - ({"fft"} if one.scan.varying else set())
            assert one.training.keys() <= possible
            assert min(*one.forward.values(), *one.training.values()) > 0
            assert min(one.scan.tokens, one.scan.width, one.scan.mix) > 0


def test_the_table_is_written_as_the_benchmark_writes_it() -> None:
    content = json.loads(TABLE.read_text(encoding="utf-8"))
    assert [(part["backend"], part["device"]) for part in content] == sorted(table())


def test_a_device_that_is_not_here_is_refused() -> None:
    pytest.importorskip("torch")
    with pytest.raises(BackendError, match="device 'tpu'"):
        prepared(scanned(), "torch", "tpu")
