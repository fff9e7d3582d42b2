"""Published architectures and weights in and out: what fits comes back exactly, what does not is named."""

# the annotations of safetensors are partial
# pyright: reportUnknownMemberType=false

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors import torch as safetensors_torch

import hrmsearch as hs
from hrmsearch import passes
from hrmsearch.cli.app import app
from hrmsearch.interop.hrm import from_published
from hrmsearch.ir.checkpoint import read_arrays
from hrmsearch.spec.load import resolved
from hrmsearch.spec.model import Spec
from hrmsearch.spec.source import parse

HRM = """\
name: hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1
loss:
  name: losses@ACTLossHead
  loss_type: stablemax_cross_entropy

halt_exploration_prob: 0.1
halt_max_steps: 16

H_cycles: 2
L_cycles: 2

H_layers: 4
L_layers: 4

hidden_size: 512
num_heads: 8
expansion: 4

puzzle_emb_ndim: ${.hidden_size}

pos_encodings: rope
"""
TRM = (
    HRM.replace("hrm.hrm_act_v1@Hierarchical", "recursive_reasoning.trm@TinyRecursive")
    .replace("H_cycles: 2\nL_cycles: 2", "H_cycles: 3\nL_cycles: 6")
    .replace("H_layers: 4\nL_layers: 4", "H_layers: 0\nL_layers: 2")
    + "forward_dtype: bfloat16\nmlp_t: False\npuzzle_emb_len: 16\nno_ACT_continue: True\n"
)
MLP = TRM.replace("mlp_t: False", "mlp_t: True").replace("rope", "none")
#: what a shipped spec and one of the published script's defaults may differ in
RECIPE = ("name", "about", "task", "train", "seeds")
SMALL = ("hidden_size: 512", "hidden_size: 16"), ("num_heads: 8", "num_heads: 2"), ("expansion: 4", "expansion: 0.5")


def small(text: str) -> str:
    for old, new in SMALL:
        text = text.replace(old, new)
    return text


def cli(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def imported(folder: Path, text: str, task: str = "sudoku") -> Path:
    arch, spec = folder / "arch.yaml", folder / "spec.yaml"
    arch.write_text(text)
    done = cli("import-arch", arch, "-o", spec, "--task", task)
    assert done.exit_code == 0, done.output
    return spec


def architecture(spec: Spec) -> dict[str, Any]:
    data = resolved(spec)
    for memory in data["model"]["memory"]:
        del memory["optimizer"]
    return {name: value for name, value in data.items() if name not in RECIPE}


@pytest.mark.parametrize(
    ("text", "name"), [(HRM, "hrm_act_v1"), (TRM, "trm"), (MLP, "trm_mlp")], ids=["hrm", "trm", "mlp"]
)
def test_a_published_architecture_is_the_shipped_spec(text: str, name: str, tmp_path: Path) -> None:
    assert architecture(hs.load(imported(tmp_path, text))) == architecture(hs.load(name))


def test_a_published_architecture_of_a_single_step_trains_no_continue(tmp_path: Path) -> None:
    spec = hs.load(imported(tmp_path, small(HRM).replace("halt_max_steps: 16", "halt_max_steps: 1")))
    graph = hs.lower(spec)
    assert "final" not in graph.inputs
    assert graph.params["q_head.bias"].result.type.shape({}) == (2,), "published weights still fit"


def test_without_an_output_the_spec_is_printed(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(HRM)
    done = cli("import-arch", tmp_path / "mine.yaml")
    assert done.exit_code == 0
    assert hs.loads(done.stdout).name == "mine"


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("H_cycles: 2", "H_cylces: 2", "arch.yaml:9:1: H_cylces: unknown key; did you mean 'H_cycles'?"),
        ("pos_encodings: rope", "pos_encodings: alibi", "arch.yaml:21:16: pos_encodings: expected 'rope' or 'learned'"),
        ("${.hidden_size}", "${.hiden}", "arch.yaml:19:18: puzzle_emb_ndim: expected an integer, got the text"),
        ("num_heads: 8", "num_heads: 7", "arch.yaml:16:12: num_heads: 7 heads do not divide the hidden size 512"),
        ("losses@ACTLossHead", "losses@Other", "arch.yaml:3:9: loss.name: expected 'losses@ACTLossHead'"),
        ("hrm.hrm_act_v1@", "hrm.hrm_act_v2@", "arch.yaml:1:7: name: no spec can say what hrm.hrm_act_v2@"),
        ("name: hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1", "named: x", "arch.yaml:1:1: no architecture"),
    ],
    ids=["key", "positions", "interpolation", "heads", "loss", "model", "none"],
)
def test_what_a_spec_cannot_say_is_an_error_at_its_line(old: str, new: str, error: str, tmp_path: Path) -> None:
    (tmp_path / "arch.yaml").write_text(HRM.replace(old, new))
    done = cli("import-arch", tmp_path / "arch.yaml")
    assert done.exit_code == 2
    assert error in done.stderr


def test_rows_without_a_puzzle_embedding_are_refused(tmp_path: Path) -> None:
    (tmp_path / "arch.yaml").write_text(TRM.replace("${.hidden_size}", "0"))
    done = cli("import-arch", tmp_path / "arch.yaml")
    assert "puzzle_emb_len: without a puzzle embedding the published model drops as many tokens" in done.stderr


# -- weights -----------------------------------------------------------------------------------------------------------


def names(config: Mapping[str, Any], *, wide: int, seq_len: int, vocabulary: int = 11) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of a published state, by the published code's rules."""
    dim, ndim = config["hidden_size"], config["puzzle_emb_ndim"]
    rows = config.get("puzzle_emb_len") or -(-ndim // dim)
    found: dict[str, tuple[int, ...]] = {
        "embed_tokens.embedding_weight": (vocabulary, dim),
        "lm_head.weight": (vocabulary, dim),
        "q_head.weight": (2, dim),
        "q_head.bias": (2,),
        "H_init": (dim,),
        "L_init": (dim,),
    }
    if ndim:
        found["puzzle_emb.weights"] = (1, ndim)
    if config["pos_encodings"] == "learned":
        found["embed_pos.embedding_weight"] = (seq_len + rows, dim)
    layers = {"L": config["L_layers"]} | ({} if "mlp_t" in config else {"H": config["H_layers"]})
    for level, count in layers.items():
        for i in range(count):
            at = f"{level}_level.layers.{i}"
            if config.get("mlp_t"):
                found[f"{at}.mlp_t.gate_up_proj.weight"] = (2 * wide, seq_len + rows)
                found[f"{at}.mlp_t.down_proj.weight"] = (seq_len + rows, wide)
            else:
                found[f"{at}.self_attn.qkv_proj.weight"] = (3 * dim, dim)
                found[f"{at}.self_attn.o_proj.weight"] = (dim, dim)
            inner = -(-round(config["expansion"] * dim * 2 / 3) // 256) * 256
            found[f"{at}.mlp.gate_up_proj.weight"] = (2 * inner, dim)
            found[f"{at}.mlp.down_proj.weight"] = (dim, inner)
    return {f"_orig_mod.model.inner.{name}": shape for name, shape in found.items()}


def state_of(text: str, seq_len: int = 81, vocabulary: int = 11) -> dict[str, torch.Tensor]:
    config: Any = parse(text, "arch").tree
    config["puzzle_emb_ndim"] = config["hidden_size"] if config["puzzle_emb_ndim"] else 0
    shapes = names(config, wide=256 if config["hidden_size"] == 16 else 512, seq_len=seq_len, vocabulary=vocabulary)
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


@pytest.mark.parametrize("form", ["safetensors", "torch", "bfloat16", "torch bfloat16"])
@pytest.mark.parametrize(
    "text",
    [HRM, HRM.replace("rope", "learned"), HRM.replace("${.hidden_size}", "0"), TRM, MLP],
    ids=["hrm", "learned", "no puzzles", "trm", "mlp"],
)
def test_published_weights_come_in_and_go_out_as_they_were(text: str, form: str, tmp_path: Path) -> None:
    spec = imported(tmp_path, small(text))
    state = {name: value.bfloat16() if "bfloat16" in form else value for name, value in state_of(small(text)).items()}
    file, ours, again = tmp_path / "state", tmp_path / "ours.safetensors", tmp_path / "again.safetensors"
    torch.save(state, file) if "torch" in form else safetensors_torch.save_file(state, file)
    for done in (
        cli("import-checkpoint", file, "--spec", spec, "-o", ours),
        cli("export-checkpoint", ours, "--spec", spec, "-o", again),
    ):
        assert done.exit_code == 0, done.output
    found, unread = read_arrays(again), "mlp_t" in text  # such a model has no use for `continue`
    assert found.keys() == {name.removeprefix("_orig_mod.model.") for name in state}
    for name, value in state.items():
        was, now = value.float().numpy(), found[name.removeprefix("_orig_mod.model.")]
        halves = (was[:1], now[:1]) if unread and "q_head" in name else (was, now)
        np.testing.assert_array_equal(*halves)
    hs.compile(hs.lower(hs.load(spec))).load(ours)


def test_the_published_27m_are_taken_by_name() -> None:
    state = state_of(HRM)
    params = passes.run(hs.lower(hs.load("hrm_act_v1"))).params
    found = from_published(
        {name: value.numpy() for name, value in state.items()},
        {path: op.result.type.shape({}) for path, op in params.items()},
    )
    assert len(state) == 39
    trained = [path for path in found if "table" not in path or path.startswith("embed")]
    assert sum(found[path].size for path in trained if not path.startswith("start")) == 27_275_266


def test_all_that_does_not_fit_is_named_at_once(tmp_path: Path) -> None:
    spec, state = imported(tmp_path, small(HRM)), state_of(small(HRM))
    lost, bent = "_orig_mod.model.inner.H_init", "_orig_mod.model.inner.lm_head.weight"
    del state[lost]
    state[bent] = state[bent][:5]
    state["_orig_mod.model.inner.extra.weight"] = torch.zeros(2)
    state["inner.L_init"] = torch.zeros(16)
    torch.save(state, tmp_path / "state.pt")
    done = cli("import-checkpoint", tmp_path / "state.pt", "--spec", spec, "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert done.stderr.splitlines()[0].endswith("state.pt: the published state is of another model; it")
    assert [line.strip() for line in done.stderr.splitlines()[1:]] == [
        "has _orig_mod.model.inner.L_init and inner.L_init, which are one",
        "lacks H_init for start.H",
        "has lm_head.weight [5, 16], which gives [16, 5]; head.weight is [16, 11]",
        "has _orig_mod.model.inner.extra.weight, which no parameter is",
    ]
    assert not (tmp_path / "out").exists()


class Runs:
    """Something that a careless reader would run."""

    def __init__(self, at: Path) -> None:
        self.at = at

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.at,)


@pytest.mark.parametrize("inside", [True, False], ids=["among tensors", "alone"])
def test_nothing_in_a_file_is_run(inside: bool, tmp_path: Path) -> None:
    trap, file = Runs(tmp_path / "ran"), tmp_path / "state.pt"
    torch.save({"a": torch.zeros(1), "b": trap} if inside else trap, file)
    done = cli("import-checkpoint", file, "--spec", "hrm_act_v1", "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert done.stderr == f"hrmsearch: {file}: is no safetensors file and no torch file of tensors alone\n"
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", "is no safetensors file and no torch file of tensors alone\n"),
        (b"not a checkpoint at all", "is no safetensors file and no torch file of tensors alone\n"),
        (b"\x80\x02.", "is no safetensors file and no torch file of tensors alone\n"),
        (b"\x20\0\0\0\0\0\0\0{", "truncated, or not a safetensors file"),
    ],
    ids=["empty", "text", "empty pickle", "truncated"],
)
def test_a_broken_file_is_refused(content: bytes, error: str, tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_bytes(content)
    done = cli("import-checkpoint", file, "--spec", "trm", "-o", tmp_path / "out")
    assert done.exit_code == 2
    assert f"{file}: {error}" in done.stderr


def test_numbers_that_are_no_weights_are_refused(tmp_path: Path) -> None:
    safetensors_torch.save_file({"steps": torch.zeros(1, dtype=torch.int64)}, tmp_path / "state")
    done = cli("import-checkpoint", tmp_path / "state", "--spec", "trm", "-o", tmp_path / "out")
    assert "state: steps holds I64, not floats" in done.stderr
    torch.save({"model": {}, "step": 3}, tmp_path / "whole.pt")
    done = cli("import-checkpoint", tmp_path / "whole.pt", "--spec", "trm", "-o", tmp_path / "out")
    assert "model is a dict, not a tensor; give the state dict alone" in done.stderr


def test_a_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    for command in (
        ("import-checkpoint", tmp_path / "in", "--spec", "trm"),
        ("export-checkpoint", tmp_path / "in", "--spec", "trm"),
    ):
        done = cli(*command, "-o", tmp_path / "out")
        assert "exists already; --force replaces it" in done.stderr
    assert (tmp_path / "out").read_text() == "mine"
