"""The emitted file: what it says, that it stands alone, and that its parameters are the graph's."""

# torch's own annotations are partial
# pyright: reportUnknownMemberType=false

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.emission import load_source
from hrmsearch.errors import BackendError
from hrmsearch.ir import Graph, initial_params, parse, verify
from hrmsearch.runtime import Options, Pass, prepared
from hrmsearch.spec.load import shipped
from hrmsearch_torch import TorchExecutable, emit

SMALL = """
graph "small" {
  nest passes=2 backprop=passes:1 step=span loader=contiguous causal=true window=8
  func @Cell(%x: compute[B, T, D:4], %z: compute[B, T, D:4]) at "model.core.cell" {
    at "model.core.cell"
    %w = param() {path="w", init={"normal": 0.5}, trainable=true} : compute[I:4, D:4]
    %1 = add(%x, %z) : compute[B, T, D:4]
    %2 = einsum(%1, %w) {spec="B T I, I D -> B T D"} : compute[B, T, D:4]
    %3 = tanh(%2) : compute[B, T, D:4]
    return %3
  }
  func @Cell_gate(%x: compute[B, T, D:4]) at "model.core.cell" {
    at "model.core.cell"
    %w = param() {path="w", init={"normal": 0.5}, trainable=true} : compute[I:4, D:4]
    %1 = einsum(%x, %w) {spec="B T I, I D -> B T D"} : compute[B, T, D:4]
    %2 = sigmoid(%1) : compute[B, T, D:4]
    return %2
  }
  main {
    at "model"
    %tokens = input() {name="tokens"} : i32[B, T]
    %targets = input() {name="targets"} : i32[B, T]
    %reset = input() {name="reset"} : i8[B]
    %table = param() {path="table", init={"normal": 0.02}, trainable=true} : compute[C:5, D:4]
    %x = gather(%table, %tokens) : compute[B, T, D:4]
    %start = param() {path="start.L", init="zeros", trainable=false} : compute[D:4]
    %z = state(%start, %reset) {path="core.z", lifetime="window", commit="every_pass"} : compute[B, T, D:4]
    %0 = const() {rule="full", value=0.0} : wide[]
    %m = state(%0, %reset) {path="memory.m", lifetime="stream", commit="last_pass"} : wide[B, D:4]
    %4 = repeat(%z) {n=3, free=true} : compute[B, T, D:4] {
      ^(%z.2: compute[B, T, D:4])
      %5 = call(%x, %z.2) {callee="Cell", prefix="levels.L.0"} : compute[B, T, D:4]
      yield %5
    }
    %6 = call(%x, %4) {callee="Cell", prefix="levels.L.0"} : compute[B, T, D:4]
    %7 = call(%6) {callee="Cell_gate", prefix="levels.L.0"} : compute[B, T, D:4]
    %8 = mul(%7, %6) : compute[B, T, D:4]
    %9 = cast(%m) {dtype="compute"} : compute[B, D:4]
    %10 = add(%8, %9) : compute[B, T, D:4]
    %logits = einsum(%10, %table) {spec="B T D, C D -> B T C"} : compute[B, T, C:5]
    %11 = cast(%10) {dtype="wide"} : wide[B, T, D:4]
    %12 = sum(%11) {axes=["T"]} : wide[B, D:4]
    %13 = add(%m, %12) : wide[B, D:4]
    %14 = cross_entropy(%logits, %targets) {ignore=-100} : wide[B, T]
    %15 = mean(%14) {axes=["B", "T"]} : wide[]
    output "logits" = %logits
    output "loss" = %15
    commit "core.z" = %6
    commit "memory.m" = %13
  }
}
"""

EMITTED = '''\
class Cell(nn.Module):
    """Cell, from model.core.cell."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(4, 4) * 0.5)  # (I, D)

    def forward(self, x: Tensor, z: Tensor) -> Tensor:  # (B, T, D), (B, T, D) -> (B, T, D)
        return torch.tanh((x + z) @ self.w)

    def gate(self, x: Tensor) -> Tensor:  # (B, T, D) -> (B, T, D)
        return torch.sigmoid(x @ self.w)


class Model(nn.Module):
    """The whole of small."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(5, 4) * 0.02)  # (C, D)
        self.start = nn.ParameterDict({"L": nn.Parameter(torch.zeros(4), requires_grad=False)})
        self.levels = nn.ModuleDict({"L": nn.ModuleList([Cell()])})

    def forward(
        self,
        tokens: Tensor,  # (B, T)
        state: dict[str, Tensor] | None = None,  # None: every state starts
        reset: int | Tensor = STREAM,  # one for all rows, or (B)
        targets: Tensor | None = None,  # (B, T)
        last: bool = True,  # whether this is the window's last pass
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        B, T = tokens.shape
        x = F.embedding(tokens, self.table)  # (B, T, D)
        z = restore(self.start["L"].expand(B, T, -1), state, "core.z", reset, WINDOW)  # (B, T, D)
        m = restore(wide(x.new_zeros(B, 4)), state, "memory.m", reset, STREAM)  # (B, D)
        with torch.no_grad():
            for _ in range(3):
                z = self.levels["L"][0](x, z)  # (B, T, D)
        z = self.levels["L"][0](x, z)  # (B, T, D)
        scaled = self.levels["L"][0].gate(z) * z + m.to(x.dtype)[:, None]  # (B, T, D)
        logits = scaled @ self.table.mT  # (B, T, C)
        outputs = {"logits": logits}
        if targets is not None:
            outputs |= {"loss": cross_entropy(wide(logits), targets).mean()}
        if last:
            m = m + wide(scaled).sum(1)  # (B, D)
        return outputs, {"core.z": z, "memory.m": m}
'''


def small() -> Graph:
    return verify(parse(SMALL))


def test_a_small_graph_reads_as_a_person_would_write_it() -> None:
    source = emit(small())
    assert source[source.index("class Cell") :] == EMITTED


def test_the_text_is_the_same_every_time() -> None:
    assert emit(small()) == emit(small())


@pytest.mark.parametrize("name", shipped())
def test_the_state_dict_has_the_paths_of_the_graph(name: str) -> None:
    graph = hs.lower(hs.load(name))
    model = load_source(emit(graph), name).Model()
    assert {path: tuple(value.shape) for path, value in model.state_dict().items()} == {
        path: op.result.type.shape({}) for path, op in graph.params.items()
    }


def test_a_parameter_that_never_trains_is_in_the_state_dict_and_takes_no_gradient() -> None:
    model = load_source(emit(small()), "small").Model()
    assert "start.L" in model.state_dict()
    assert not model.get_parameter("start.L").requires_grad


def test_functions_under_one_prefix_share_their_weights() -> None:
    model = load_source(emit(small()), "small").Model()
    cell = model.levels["L"][0]
    x = torch.ones(1, 1, 4)
    with torch.no_grad():
        cell.w.zero_()
    assert torch.equal(cell.gate(x), torch.full_like(x, 0.5))
    assert torch.equal(cell(x, x), torch.zeros_like(x))


def test_initial_draws_follow_the_rules_of_the_graph() -> None:
    graph = hs.lower(hs.load("hrm"))
    torch.manual_seed(0)
    model = load_source(emit(graph), "hrm").Model()
    for path, array in initial_params(graph, 0).items():
        value = model.get_parameter(path).detach().numpy()
        assert np.isclose(value.std(), array.std(), rtol=0.15, atol=1e-9), path
        assert np.isclose(value.mean(), array.mean(), atol=0.1 * array.std() + 1e-9), path


@pytest.mark.parametrize("rule", ['{"values": [1.5, -2.0]}', '{"linspace": [1.5, -2.0]}'])
def test_a_row_of_values_begins_every_row_of_a_parameter(rule: str) -> None:
    graph = verify(
        parse(f"""
graph "values" {{
  nest passes=1 backprop=passes:1 step=span loader=shuffled causal=false window=4
  main {{
    at ""
    %w = param() {{path="w", init={rule}, trainable=true}} : compute[A:3, K:2]
    output "w" = %w
  }}
}}
""")
    )
    row = torch.tensor([1.5, -2.0])
    assert torch.equal(load_source(emit(graph), "values").Model().w, row.expand(3, 2))
    assert np.array_equal(initial_params(graph, 0)["w"], row.expand(3, 2))


def test_carries_that_begin_with_one_value_keep_their_own_names() -> None:
    source = emit(passes.run(hs.lower(hs.load("slstm"))))
    loop = source[source.index("for ") : source.index("ys.append")]
    for line in ("m = torch.where(n == 0.0, i_t, torch.maximum(i_t, carried))", "n = forget * n + take"):
        assert line in loop


@pytest.mark.parametrize("name", shipped())
def test_an_emitted_file_imports_torch_alone(name: str) -> None:
    tree = ast.parse(emit(prepared(hs.lower(hs.load(name)))))
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {module.partition(".")[0] for module in imported} == {"torch"}


@pytest.mark.parametrize("name", shipped())
def test_an_emitted_file_is_formatted(name: str) -> None:
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    if ruff is None:
        pytest.skip("ruff is not installed")
    source = emit(prepared(hs.lower(hs.load(name))))
    command = [ruff, "format", "--isolated", "--line-length", "120", "--stdin-filename", "model.py", "-"]
    assert subprocess.run(command, input=source, capture_output=True, text=True, check=True).stdout == source


ALONE = """
import sys
import numpy as np
import torch
from model import Model

torch.set_num_threads(1)
model = Model()
with np.load("weights.npz") as weights:
    model.load_state_dict({path: torch.tensor(weights[path]) for path in weights.files})
state = None
with torch.no_grad():
    for reset in (3, 0):
        outputs, state = model(torch.tensor(np.load("tokens.npy")), state, reset)
np.save("logits.npy", outputs["logits"].numpy())
assert not [name for name in sys.modules if name.startswith("hrmsearch")]
"""


@pytest.mark.parametrize("name", ["infini_hrm", "slstm"])
def test_an_emitted_file_alone_gives_the_logits_of_the_executable_bit_for_bit(tmp_path: Path, name: str) -> None:
    executable, fast = (TorchExecutable(prepared(hs.lower(hs.load(name))), Options(kernels=k)) for k in (False, True))
    assert fast.source == executable.source
    tokens = np.random.default_rng(0).integers(0, 97, (2, 64), dtype=np.int32)
    found = [logits(one, tokens) for one in (executable, fast)]
    (tmp_path / "model.py").write_text(executable.source)
    np.savez(tmp_path / "weights.npz", **executable.params)  # pyright: ignore[reportArgumentType]
    np.save(tmp_path / "tokens.npy", tokens)
    (tmp_path / "run.py").write_text(ALONE)
    # no PYTHONPATH: the script's own folder and installed packages are all it sees
    subprocess.run([sys.executable, "run.py"], cwd=tmp_path, check=True, env={"OMP_NUM_THREADS": "1"})
    alone = np.load(tmp_path / "logits.npy")
    assert np.array_equal(alone, found[0])
    # kernels round elsewhere
    np.testing.assert_allclose(found[1], alone, rtol=0, atol=1e-5 * np.abs(alone).max())


def logits(executable: TorchExecutable, tokens: np.ndarray) -> np.ndarray:
    carry = executable.init_carry(*tokens.shape)
    outputs: dict[str, np.ndarray] = {}
    for reset in (3, 0):
        outputs, carry = executable.forward(Pass({"tokens": tokens}, reset), carry)
    return outputs["logits"]


def test_a_traceback_shows_the_emitted_line() -> None:
    import inspect

    model = load_source(emit(small()), "small").Model
    assert "class Model(nn.Module)" in inspect.getsource(model)


def test_a_name_that_torch_keeps_for_itself_is_refused() -> None:
    graph = verify(parse(SMALL.replace('path="table"', 'path="forward"')))
    with pytest.raises(BackendError, match="'forward'"):
        emit(graph)


def test_a_keyword_serves_as_a_parameter_name() -> None:
    graph = verify(parse(SMALL.replace('path="table"', 'path="lambda"')))
    executable = TorchExecutable(graph, Options())
    assert "lambda" in executable.params
    tokens = np.zeros((1, 2), np.int32)
    assert executable.forward(Pass({"tokens": tokens}, 3), executable.init_carry(1, 2))[0]["logits"].shape == (1, 2, 5)


def test_numbers_that_a_mask_chooses_multiply_values_of_any_precision() -> None:
    graph = verify(
        parse("""
graph "masked" {
  nest passes=1 backprop=passes:1 step=span loader=shuffled causal=false window=8
  main {
    at "model"
    %x = input() {name="x"} : wide[B, T, D:3]
    %zero = const() {rule="full", value=0.0} : wide[]
    %one = const() {rule="full", value=1.0} : wide[]
    %mask = less(%zero, %x) : bool[B, T, D:3]
    %chosen = where(%mask, %one, %zero) : wide[B, T, D:3]
    %other = rename(%x) {axis="T", into="U"} : wide[B, U:T, D:3]
    %y = einsum(%chosen, %other) {spec="B T D, B U D -> B T U"} : wide[B, T, U:T]
    output "y" = %y
  }
}
""")
    )
    x = np.random.default_rng(0).normal(size=(2, 3, 3))
    for dtype in ("float32", "float64"):
        found = TorchExecutable(graph, Options(dtype=dtype)).forward(Pass({"x": x}, 3), {})[0]["y"]
        np.testing.assert_allclose(found, (x > 0) @ x.swapaxes(1, 2), rtol=1e-12 if dtype == "float64" else 1e-5)
