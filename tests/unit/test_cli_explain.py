"""`explain`: the IR that runs, its leaves, its costs and what is proved of it."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from hrmsearch import analyses, passes
from hrmsearch.analyses.interpreter import Interpreter
from hrmsearch.analyses.stability import Samples
from hrmsearch.cli.app import app
from hrmsearch.ir import Lifetime, initial_params, parse, text
from hrmsearch.lowering import lower
from hrmsearch.spec.load import load

PARAMS = {
    "hrm": 152064,
    "hrm_simultaneous": 152064,
    "infini_hrm_as_published": 168452,
    "infini_hrm": 160132,
    "hrm_memory": 193024,
    "transformer": 78080,
    "slstm": 146624,
    "mlstm": 148128,
    "xlstm_hrm": 146832,
    "preserve_gate": 146889,
    "s4d": 153280,
    "hl_kernel": 149952,
    "hl_kernel_gated": 149696,
    "deepsup_transformer": 82176,
}


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["explain", *arguments])


def explained(*arguments: str) -> dict[str, Any]:
    done = invoke(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.mark.parametrize(("name", "params"), PARAMS.items())
def test_json_has_what_programs_rely_on(name: str, params: int) -> None:
    data = explained(name)
    assert data["params"] == params == sum(leaf["count"] for leaf in data["parameters"].values())
    assert data["flops_per_token"] > 0
    assert data["state_bytes"] >= 0
    assert isinstance(data["diagnostics"], list)
    assert len(data["passes"]) == load(name).nest.passes


def test_the_ir_is_what_a_backend_is_given() -> None:
    printed = explained("hrm")["ir"]
    assert printed == text(passes.run(lower(load("hrm"))))
    assert text(parse(printed)) == printed


def test_costs_count_the_given_batch_and_tokens() -> None:
    one, two = explained("transformer", "--batch", "1"), explained("transformer", "--batch", "2")
    assert two["passes"][0]["forward"]["value"] == 2 * one["passes"][0]["forward"]["value"]
    assert two["flops_per_token"] == one["flops_per_token"]
    assert explained("transformer", "--tokens", "32")["flops_per_token"] < one["flops_per_token"]


def test_people_get_the_ir_then_tables_then_diagnostics() -> None:
    lines = invoke("infini_hrm", "--set", "train.batch=2").output.splitlines()
    order = ['graph "infini_hrm" {', "total", "carry", "no diagnostics"]
    found = [next(i for i, line in enumerate(lines) if line.startswith(start)) for start in order]
    assert found == sorted(found)
    assert lines[found[1]].endswith(" 160,132")
    assert any(line.endswith("B = 2, T = 64") for line in lines)
    assert any(line.startswith("memory_0.M  wide[B, A:4, K:16, V:16]  stream    last pass") for line in lines)


def test_print_between_shows_the_graph_after_every_compiler_pass() -> None:
    output = invoke("transformer", "--passes", "fold,prune", "--print-between").output
    heads = [line for line in output.splitlines() if line.startswith(("-- after", "graph "))]
    assert heads == [
        "-- after lowering",
        'graph "transformer" {',
        "-- after fold",
        'graph "transformer" {',
        "-- after prune, the last",
        'graph "transformer" {',
    ]


def test_no_compiler_pass_shows_the_graph_as_lowered() -> None:
    assert explained("hrm", "--passes", "none")["ir"] == text(lower(load("hrm")))


def test_an_unknown_compiler_pass_names_those_there_are() -> None:
    done = invoke("hrm", "--passes", "fold,cze")
    assert done.exit_code == 2
    names = "cse, expand, fold, forms, fuse, join, prune, or none"
    assert f"there is no compiler pass 'cze'; there are {names}" in done.stderr


def test_more_tokens_than_a_window_are_refused() -> None:
    done = invoke("hrm", "--tokens", "65")
    assert (done.exit_code, done.stderr) == (2, "hrmsearch: --tokens 65: a window of hrm holds 64\n")


def test_json_and_print_between_exclude_each_other() -> None:
    assert invoke("hrm", "--json", "--print-between").exit_code == 2


def test_a_code_shows_its_page() -> None:
    done = invoke("HS101")
    assert (done.exit_code, done.stdout) == (0, analyses.page("HS101"))


def test_a_page_is_json_too() -> None:
    assert explained("HS101") == {"code": "HS101", "page": analyses.page("HS101")}


def test_an_unknown_code_names_those_there_are() -> None:
    done = invoke("HS999")
    assert done.exit_code == 2
    assert done.stderr.startswith("hrmsearch: no diagnostic is called 'HS999'; there are: HS101, ")


# -- the algebra of H/L kernels ----------------------------------------------------------------------------------------

TINY = ("--set", "model.dim=4", "--set", "model.core.blocks[0].repeat=2")
MIXER = "model.core.blocks[0].mixer"


def test_the_algebra_of_a_kernel_is_told_from_its_ticks_to_its_bound() -> None:
    lines = invoke("hl_kernel", "--algebra", *TINY).output.splitlines()
    order = [
        "core.blocks[0].mixer: hl_kernel, time-invariant, real channels, zoh",
        "  z_L <- a_L⋅z_L + c_L⋅x + d⋅z_H",
        "  z_H <- a_H⋅z_H + b⋅z_L",
        "a cycle is 4 ticks of L and one of H, which reads the new z_L; a token is one cycle; z = (z_H, z_L)",
        "  A = ⎢                ⎥",
        "  g = ⎨1 - a_L",
        "  d = (1 - │a_L│)⋅tanh(k_L)",
        "  │a_L│ + │d│ ≤ 1",
        "  -a_H⋅p + 1 > 0",
        "proved of the graph (HS105): for all parameters and inputs, no token's transition enlarges a state",
        "sizes of the eigenvalues of a token, at the initial parameters of seed 0",
        "core.blocks.1.mixer  ",
    ]
    found = [next(i for i, line in enumerate(lines) if line.startswith(start)) for start in order]
    assert found == sorted(found)


def test_cycles_order_and_gates_change_what_is_told() -> None:
    sets = [f"{MIXER}.{field}" for field in ("cycles=3", "order=simultaneous", "channels=complex", "inject=[L,H]")]
    output = invoke("hl_kernel_gated", "--algebra", *TINY, *(word for one in sets for word in ("--set", one))).output
    assert "which reads the old z_L; a token is 3 cycles" in output
    for part in ("A = A₁", "b⋅p'", "c_H⋅x", "⋅q_L⋅r_L", "Delta_t is the length of the token", "a token of zero input"):
        assert part in output
    assert "Jury" not in output


def test_eigenvalues_are_those_of_the_transition_that_the_graph_computes() -> None:
    overrides = ("model.dim=4", "model.core.blocks[0].repeat=1", f"{MIXER}.channels=complex")
    words = [word for override in overrides for word in ("--set", override)]
    (kernel,) = json.loads(invoke("hl_kernel", "--algebra", "--json", *words).stdout)["kernels"]
    graph = lower(load("hl_kernel", overrides))
    samples = Samples(initial_params(graph, 0))
    Interpreter(graph, samples).run(Lifetime.STREAM, {})
    assert kernel["eigenvalues"]["core.blocks.0.mixer"]["largest"] == pytest.approx(samples.radius[MIXER], rel=1e-12)
    assert kernel["growth"] == 1.0
    assert kernel["latex"].count(r"\begin{align*}") == kernel["latex"].count(r"\end{align*}") == 4


def test_latex_has_every_equation_and_nothing_else() -> None:
    output = invoke("hl_kernel", "--algebra", "--latex", *TINY).output
    assert r"z_{L} &\leftarrow a_{L} z_{L} + c_{L} x + d z_{H} \\" in output
    assert r"\left|{a_{L}}\right| + \left|{d}\right| &\le 1" in output
    assert "eigenvalues of a token" not in output


def test_a_spec_without_a_kernel_has_no_algebra() -> None:
    done = invoke("hrm", "--algebra")
    assert done.exit_code == 2
    assert done.stderr.endswith("hrm.yaml: no mixer is an hl_kernel, and only those have an algebra\n")
    assert invoke("hl_kernel", "--latex").exit_code == 2
