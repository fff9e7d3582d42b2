"""Weights of HRM ACT v1 and TRM under their published names.

A published map is [output, input] and fuses what reads one stream: q, k and v, or gate and up. Here each is a weight of
its own, [input, output]. Names as in sapientinc/HRM and SamsungSAILMontreal/TinyRecursiveModels; what stands before
`inner.` in them, by wrappers and compilers, does not matter.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hrmsearch.errors import RunError

Array = NDArray[Any]
Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class Part:
    """Where a parameter is in a published state: part number `index` of `of` equal parts of an array's first axis.

    turned: whether it is the transpose.
    """

    name: str
    index: int = 0
    of: int = 1
    turned: bool = False


_PLACES: Final[Mapping[str, Part]] = {
    r"memory_\d+\.table": Part("puzzle_emb.weights"),
    r"embed\.table": Part("embed_tokens.embedding_weight"),
    r"embed\.positions": Part("embed_pos.embedding_weight"),
    r"start\.(?P<level>\w+)": Part("{level}_init"),
    r"head\.weight": Part("lm_head.weight", turned=True),
    r"q_head\.weight": Part("q_head.weight", turned=True),
    r"q_head\.bias": Part("q_head.bias"),
}
_LAYERS: Final[Mapping[str, Part]] = {
    "mixer.w_q": Part("self_attn.qkv_proj.weight", 0, 3, turned=True),
    "mixer.w_k": Part("self_attn.qkv_proj.weight", 1, 3, turned=True),
    "mixer.w_v": Part("self_attn.qkv_proj.weight", 2, 3, turned=True),
    "mixer.w_o": Part("self_attn.o_proj.weight", turned=True),
    "mixer.w_gate": Part("mlp_t.gate_up_proj.weight", 0, 2, turned=True),
    "mixer.w_up": Part("mlp_t.gate_up_proj.weight", 1, 2, turned=True),
    "mixer.w_down": Part("mlp_t.down_proj.weight", turned=True),
    "ffn.w_gate": Part("mlp.gate_up_proj.weight", 0, 2, turned=True),
    "ffn.w_up": Part("mlp.gate_up_proj.weight", 1, 2, turned=True),
    "ffn.w_down": Part("mlp.down_proj.weight", turned=True),
}
_LAYER: Final = re.compile(r"core\.levels\.(?P<level>\w+)\.(?P<i>\d+)\.(?P<rest>.+)")


def place(path: str) -> Part | None:
    """Return where a parameter is in a published state; None where no published model has it."""
    for pattern, part in _PLACES.items():
        if match := re.fullmatch(pattern, path):
            return Part(part.name.format(**match.groupdict()), part.index, part.of, part.turned)
    match = _LAYER.fullmatch(path)
    part = _LAYERS.get(match["rest"]) if match else None
    if match is None or part is None:
        return None
    # one net for both levels is the net of L
    level = "L" if match["level"] == "shared" else match["level"]
    return Part(f"{level}_level.layers.{match['i']}.{part.name}", part.index, part.of, part.turned)


def from_published(state: Mapping[str, Array], shapes: Shapes) -> dict[str, Array]:
    """Return parameters by path from a published state; shapes: of the parameters that are wanted.

    Raises RunError that lists every parameter that the state lacks or has in another shape, and every array that no
    parameter is.
    """
    known: dict[str, list[str]] = {}
    for name in state:
        known.setdefault(name.rpartition("inner.")[2], []).append(name)
    problems = [f"has {' and '.join(names)}, which are one" for names in known.values() if len(names) > 1]
    found, used = dict[str, Array](), set[str]()
    for path, shape in shapes.items():
        part = place(path)
        if part is None or part.name not in known:
            problems.append(f"lacks {part.name} for {path}" if part else f"cannot have {path}")
            continue
        used.add(part.name)
        value = _taken(path, state[known[part.name][0]], part, shape)
        if value.shape == shape:
            found[path] = np.ascontiguousarray(value)
        else:
            has = list(state[known[part.name][0]].shape)
            problems.append(f"has {part.name} {has}, which gives {list(value.shape)}; {path} is {list(shape)}")
    problems += [f"has {', '.join(known[name])}, which no parameter is" for name in sorted(set(known) - used)]
    if problems:
        raise RunError("\n  ".join(["the published state is of another model; it", *problems]))
    return found


def _taken(path: str, array: Array, part: Part, shape: tuple[int, ...]) -> Array:
    """Return what a parameter takes of a published array, in whatever shape that is."""
    whole = np.split(array, part.of)[part.index] if array.ndim and array.shape[0] % part.of == 0 else array
    value = whole.T if part.turned else whole
    if path.startswith("q_head.") and value.shape[:-1] == shape[:-1]:
        value = value[..., : shape[-1]]  # a model that halts without `continue` has no use for its values
    return value


def to_published(params: Mapping[str, Array], *, outputs: int = 2) -> dict[str, Array]:
    """Return parameters under their published names, below `inner.`; undoes `from_published`.

    outputs: of the published q-head; what a model has not of these is zero, with the published bias of -5.

    Raises RunError for a parameter that no published model has.
    """
    parts: dict[str, dict[int, Array]] = {}
    for path, array in params.items():
        part = place(path)
        if part is None:
            raise RunError(f"{path}: no published model has such a parameter")
        value = _padded(path, array, outputs)
        parts.setdefault(f"inner.{part.name}", {})[part.index] = value.T if part.turned else value
    return {name: np.concatenate([found[i] for i in sorted(found)]) for name, found in parts.items()}


def _padded(path: str, array: Array, outputs: int) -> Array:
    if not path.startswith("q_head."):
        return array
    lacking = [(0, 0)] * (array.ndim - 1) + [(0, outputs - array.shape[-1])]
    return np.pad(array, lacking, constant_values=-5.0 if path.endswith("bias") else 0.0)
