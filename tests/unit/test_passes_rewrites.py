"""Compiler passes on small texts: what stands before, what stands after."""

import pytest

from hrmsearch.errors import GraphError
from hrmsearch.ir import Graph, parse, text, verify
from hrmsearch.passes import cse, expand, fold, prune, run
from hrmsearch.testing.examples import structured_graph


def graph(main: str, functions: str = "") -> Graph:
    head = "nest passes=1 backprop=passes:1 step=span loader=shuffled causal=true window=1"
    return verify(
        parse(
            f'graph "g" {{\n{head}\n{functions}\nmain {{\n%x = input() {{name="x"}} : compute[B, D:4]\n{main}\n}}\n}}'
        )
    )


def main(graph: Graph) -> list[str]:
    """Return the lines of main after the input, without places."""
    lines = [line.strip() for line in text(graph).splitlines()]
    body = lines[lines.index("main {") + 1 : -2]
    return [line for line in body if not line.startswith(("at ", "%x = input"))]


ONE = '%one = const() {rule="full", value=1.0} : compute[]'
ZERO = '%zero = const() {rule="full", value=0} : compute[]'


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (f"{ZERO}\n%y = add(%x, %zero) : compute[B, D:4]", "%x"),
        (f"{ZERO}\n%y = add(%zero, %x) : compute[B, D:4]", "%x"),
        (f"{ZERO}\n%y = sub(%x, %zero) : compute[B, D:4]", "%x"),
        (f"{ZERO}\n%y = sub(%zero, %x) : compute[B, D:4]", "%y"),
        (f"{ONE}\n%y = mul(%x, %one) : compute[B, D:4]", "%x"),
        (f"{ONE}\n%y = mul(%one, %x) : compute[B, D:4]", "%x"),
        (f"{ONE}\n%y = div(%x, %one) : compute[B, D:4]", "%x"),
        (f"{ONE}\n%y = div(%one, %x) : compute[B, D:4]", "%y"),
        ("%n = neg(%x) : compute[B, D:4]\n%y = neg(%n) : compute[B, D:4]", "%x"),
        ("%d = detach(%x) : compute[B, D:4]\n%y = detach(%d) : compute[B, D:4]", "%d"),
        ('%y = cast(%x) {dtype="compute"} : compute[B, D:4]', "%x"),
        ('%w = cast(%x) {dtype="wide"} : wide[B, D:4]\n%y = cast(%w) {dtype="compute"} : compute[B, D:4]', "%x"),
        ('%y = transpose(%x) {order=["B", "D"]} : compute[B, D:4]', "%x"),
        ('%y = transpose(%x) {order=["D", "B"]} : compute[D:4, B]', "%y"),
        ('%y = slice(%x) {axis="D", start=0, size=4, into="D"} : compute[B, D:4]', "%x"),
        ('%y = slice(%x) {axis="D", start=0, size=3, into="D"} : compute[B, D:3]', "%y"),
        ('%y = concat(%x) {axis="D"} : compute[B, D:4]', "%x"),
        ("%y = broadcast(%x) : compute[B, D:4]", "%x"),
        ("%y = sum(%x) {axes=[]} : compute[B, D:4]", "%x"),
        ("%y = dropout(%x) {rate=0.0} : compute[B, D:4]", "%x"),
        ("%y = dropout(%x) {rate=0.1} : compute[B, D:4]", "%y"),
    ],
)
def test_fold_drops_what_changes_nothing(before: str, after: str) -> None:
    folded = prune(fold(graph(f'{before}\noutput "y" = %y')))
    assert main(folded)[-1] == f'output "y" = {after}'


def test_fold_keeps_a_constant_that_broadcasts() -> None:
    zeros = '%zeros = const() {rule="full", value=0} : compute[T, B, D:4]'
    kept = graph(f'{zeros}\n%y = add(%x, %zeros) : compute[T, B, D:4]\noutput "y" = %y')
    assert text(fold(kept)) == text(kept)


def test_fold_keeps_a_rounding_cast() -> None:
    wide = '%w = cast(%x) {dtype="wide"} : wide[B, D:4]\n'
    rounds = f'{wide}%c = cast(%w) {{dtype="compute"}} : compute[B, D:4]\n%v = exp(%w) : wide[B, D:4]\n'
    there = (
        f'{rounds}%n = cast(%v) {{dtype="compute"}} : compute[B, D:4]\n%y = cast(%n) {{dtype="wide"}} : wide[B, D:4]'
    )
    assert 'cast(%n) {dtype="wide"}' in text(run(graph(f'{there}\noutput "y" = %y')))


TICK = """%y = repeat(%x) {n=N, free=FREE} : compute[B, D:4] {
^(%z: compute[B, D:4])
BODY
yield %w
}
output "y" = %y"""


def tick(n: int, free: str, body: str = "%w = exp(%z) : compute[B, D:4]") -> Graph:
    return graph(TICK.replace("N", str(n), 1).replace("FREE", free).replace("BODY", body))


def test_fold_inlines_a_repeat_of_one_tick() -> None:
    assert main(fold(tick(1, "false"))) == ["%w = exp(%x) : compute[B, D:4]", 'output "y" = %w']


@pytest.mark.parametrize(("n", "free"), [(1, "true"), (2, "false"), (2, "true")])
def test_fold_keeps_free_and_repeated_ticks(n: int, free: str) -> None:
    assert text(fold(tick(n, free))) == text(tick(n, free))


def test_a_free_repeat_cuts_gradient_even_when_its_body_folds_away() -> None:
    folded = main(run(tick(2, "true", f"{ZERO}\n%w = add(%z, %zero) : compute[B, D:4]")))
    assert folded[2:4] == ["%w = detach(%z) : compute[B, D:4]", "yield %w"]


def test_cse_merges_equal_operations_of_a_region_and_of_those_around_it() -> None:
    source = """%a = exp(%x) : compute[B, D:4]
%b = exp(%x) : compute[B, D:4]
%y = repeat(%b) {n=2, free=false} : compute[B, D:4] {
^(%z: compute[B, D:4])
%c = exp(%x) : compute[B, D:4]
%d = add(%z, %c) : compute[B, D:4]
yield %d
}
%e = mul(%a, %y) : compute[B, D:4]
output "y" = %e"""
    assert main(cse(graph(source))) == [
        "%a = exp(%x) : compute[B, D:4]",
        "%y = repeat(%a) {n=2, free=false} : compute[B, D:4] {",
        "^(%z: compute[B, D:4])",
        "%d = add(%z, %a) : compute[B, D:4]",
        "yield %d",
        "}",
        "%e = mul(%a, %y) : compute[B, D:4]",
        'output "y" = %e',
    ]


def test_cse_does_not_carry_a_value_out_of_its_region() -> None:
    source = TICK.replace("N", "2", 1).replace("FREE", "false").replace("BODY", "%w = exp(%x) : compute[B, D:4]")
    kept = graph(source.replace('output "y" = %y', '%e = exp(%x) : compute[B, D:4]\noutput "y" = %e'))
    assert text(cse(kept)) == text(kept)


def test_cse_tells_attributes_and_declared_types_apart() -> None:
    source = """%a = sum(%x) {axes=["D"]} : compute[B]
%b = sum(%x) {axes=["B"]} : compute[D:4]
%c = const() {rule="full", value=1} : compute[B]
%d = const() {rule="full", value=1} : compute[D:4]
%e = add(%a, %c) : compute[B]
%f = add(%b, %d) : compute[D:4]
output "e" = %e
output "f" = %f"""
    assert text(cse(graph(source))) == text(graph(source))


BLOCK = """func @block(%x: compute[B, D:4]) at "" {
%g = param() {path="g", init="ones", trainable=true} : compute[D:4]
%h = param() {path="g", init="ones", trainable=true} : compute[D:4]
%y = mul(%x, %g) : compute[B, D:4]
%z = mul(%y, %h) : compute[B, D:4]DROPOUT
return %z
}"""
CALLS = """%a = call(%x) {callee="block", prefix="l"} : compute[B, D:4]
%b = call(%x) {callee="block", prefix="l"} : compute[B, D:4]
%c = call(%x) {callee="block", prefix="m"} : compute[B, D:4]
%d = add(%a, %b) : compute[B, D:4]
%e = add(%d, %c) : compute[B, D:4]
output "y" = %e"""


def test_parameters_of_one_path_are_one_value_and_calls_of_one_prefix_one_call() -> None:
    merged = cse(graph(CALLS, BLOCK.replace("DROPOUT", "")))
    assert [op.kind for op in merged.functions["block"].body.ops] == ["param", "mul", "mul"]
    assert [op.attrs["prefix"] for op in merged.main.ops if op.kind == "call"] == ["l", "m"]


def test_cse_never_merges_dropout_nor_a_call_that_draws() -> None:
    drawing = BLOCK.replace("DROPOUT", "\n%o = dropout(%z) {rate=0.5} : compute[B, D:4]").replace(
        "return %z", "return %o"
    )
    merged = cse(graph(CALLS, drawing))
    assert [op.attrs["prefix"] for op in merged.main.ops if op.kind == "call"] == ["l", "l", "m"]
    twice = "%a = dropout(%x) {rate=0.5} : compute[B, D:4]\n%b = dropout(%x) {rate=0.5} : compute[B, D:4]\n"
    both = graph(f'{twice}%c = add(%a, %b) : compute[B, D:4]\noutput "y" = %c')
    assert text(cse(both)) == text(both)


def test_prune_drops_dead_operations_and_functions_and_keeps_inputs() -> None:
    dead = graph(
        '%u = input() {name="u"} : i32[B]\n%w = exp(%x) : compute[B, D:4]\noutput "x" = %x',
        BLOCK.replace("DROPOUT", ""),
    )
    assert main(prune(dead)) == ['%u = input() {name="u"} : i32[B]', 'output "x" = %x']
    assert prune(dead).functions == {}
    assert main(prune(dead, drop_inputs=True)) == ['output "x" = %x']


def test_prune_keeps_what_named_outputs_and_candidates_need() -> None:
    pruned = prune(structured_graph(), outputs=[])
    assert list(pruned.outputs) == []
    assert list(pruned.candidates) == ["z", "m"]
    assert "loss" not in {op.place for op in pruned.main.ops}
    assert "cell" in pruned.functions
    kept = prune(structured_graph(), outputs=["logits"])
    assert [op.kind for op in kept.main.ops if op.place == "loss"] == ["einsum"]


def test_prune_leaves_unused_results_of_an_operation_alone() -> None:
    source = """%y, %z = repeat(%x, %x) {n=2, free=false} : compute[B, D:4]; compute[B, D:4] {
^(%a: compute[B, D:4], %b: compute[B, D:4])
%c = exp(%b) : compute[B, D:4]
yield %a, %c
}
output "y" = %y"""
    assert text(prune(graph(source))) == text(graph(source))


def test_prune_refuses_an_unknown_output() -> None:
    with pytest.raises(GraphError, match="no output los; the graph has: logits, loss"):
        prune(structured_graph(), outputs=["los"])


def test_expand_replaces_composites_of_composites_everywhere() -> None:
    source = (
        'func @f(%x: compute[B, D:4]) at "m" {\nat "m.f"\n%y = softmax(%x) {axis="D"} : compute[B, D:4]\nreturn %y\n}'
    )
    call = '%y = call(%x) {callee="f", prefix="p"} : compute[B, D:4]\noutput "y" = %y'
    expanded = verify(expand(graph(call, source)))
    body = expanded.functions["f"].body
    assert [op.kind for op in body.ops] == ["amax", "sub", "exp", "sum", "div"]
    assert {op.place for op in body.ops} == {"m.f"}
    assert body.results[0].name == "y"


def test_expand_keeps_the_kinds_a_backend_runs_itself() -> None:
    source = graph('%y = silu(%x) : compute[B, D:4]\n%z = softmax(%y) {axis="D"} : compute[B, D:4]\noutput "z" = %z')
    kinds = {op.kind for op in expand(source, keep={"softmax"}).main.ops}
    assert kinds == {"input", "sigmoid", "mul", "softmax"}


def test_the_pipeline_names_the_compiler_pass_that_broke_a_rule() -> None:
    def lose(graph: Graph) -> Graph:
        graph.candidates.pop("z")
        return graph

    with pytest.raises(GraphError, match=r"^after lose: "):
        run(structured_graph(), [fold, lose])


def test_the_pipeline_leaves_its_argument_alone() -> None:
    source = structured_graph()
    before = text(source)
    run(source)
    assert text(source) == before
