"""Graphs around one op, as every backend is given them."""

from hrmsearch.ir import Graph, parse, verify
from hrmsearch.testing.examples import Example, example_graph


def graph_of(example: Example) -> Graph:
    """Return the example's graph; a constant gets an input beside it, which tells its sizes."""
    graph = example_graph(example)
    if example.operands:
        return graph
    lines = f"""
graph "constant" {{
  nest passes=1 backprop=passes:1 step=span loader=shuffled causal=false window=4
  main {{
    at ""
    %x = input() {{name="x"}} : compute[B, T]
    %y = const() {{{", ".join(f"{k}={v!r}" for k, v in example.attrs.items()).replace("'", '"')}}} : {example.result}
    output "x" = %x
    output "y0" = %y
  }}
}}
"""
    return verify(parse(lines))
