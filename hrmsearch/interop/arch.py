"""Published architecture files of HRM ACT v1 and TRM, as Hydra reads them, turned into specs.

What such a file leaves open, the published training script's defaults say: Adam-atan2 at 1e-4 with warm-up, weight
decay 0.1, sign-SGD at 1e-2 for puzzles, 768 rows. As in sapientinc/HRM and SamsungSAILMontreal/TinyRecursiveModels,
config/arch and config/cfg_pretrain.yaml.
"""

import re
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Final, Literal, Self, cast

from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt, model_validator

from hrmsearch.errors import SpecError
from hrmsearch.spec.load import dump
from hrmsearch.spec.problems import FieldProblem, closest
from hrmsearch.spec.registry import Part
from hrmsearch.spec.source import Source
from hrmsearch.spec.validate import validate

#: Hydra's way to mean a value beside this one
_BESIDE: Final = re.compile(r"\$\{\.(\w+)\}")
#: published feed-forward layers are wide by a rule, rounded up to this
_MULTIPLE: Final = 256


class ArchLoss(Part):
    """The loss head: which cross-entropy it takes of tokens."""

    name: Literal["losses@ACTLossHead"]
    loss_type: Literal["stablemax_cross_entropy", "softmax_cross_entropy"]

    @property
    def kind(self) -> str:
        """Our name of the loss."""
        return "cross_entropy" if self.loss_type == "softmax_cross_entropy" else self.loss_type


class Arch(Part):
    """What both published models may say of themselves."""

    published: ClassVar[tuple[str, ...]]
    name: str
    loss: ArchLoss
    halt_exploration_prob: float = Field(ge=0.0, le=1.0)
    halt_max_steps: PositiveInt
    H_cycles: PositiveInt
    L_cycles: PositiveInt
    L_layers: PositiveInt
    hidden_size: PositiveInt
    num_heads: PositiveInt
    expansion: PositiveFloat
    puzzle_emb_ndim: NonNegativeInt = 0
    rms_norm_eps: PositiveFloat = 1e-5
    rope_theta: PositiveFloat = 10000.0
    forward_dtype: Literal["bfloat16", "float32"] = "bfloat16"

    @model_validator(mode="before")
    @classmethod
    def _resolve(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        fields = cast("Mapping[str, Any]", data)
        return {name: _beside(fields, value) for name, value in fields.items()}

    @model_validator(mode="after")
    def _divides(self) -> Self:
        if self.hidden_size % self.num_heads:
            raise FieldProblem(f"{self.num_heads} heads do not divide the hidden size {self.hidden_size}", "num_heads")
        return self

    @property
    @abstractmethod
    def position(self) -> str:
        """How positions are known: rope, learned or none."""

    @property
    def prefix(self) -> Mapping[str, Any]:
        """More fields of the puzzle embedding."""
        return {}

    @property
    def block(self) -> dict[str, Any]:
        """The block of every layer."""
        rope = {"position": "rope", "base": self.rope_theta} if self.position == "rope" else {"position": "none"}
        return {
            "kind": "transformer",
            "mixer": {"kind": "attention", "heads": self.num_heads, **rope, "causal": False},
        }

    @property
    @abstractmethod
    def core(self) -> Mapping[str, Any]:
        """Fields of the core that only one of the models has."""

    @property
    @abstractmethod
    def layers(self) -> Mapping[str, int]:
        """Layers by level."""

    @property
    @abstractmethod
    def continues(self) -> bool:
        """Whether the q-head says how much it would like to continue."""

    @property
    def averages(self) -> Mapping[str, Any]:
        """How the published run averages its parameters."""
        return {}


def _beside(fields: Mapping[str, Any], value: Any) -> Any:
    match = _BESIDE.fullmatch(value) if isinstance(value, str) else None
    return fields.get(match[1], value) if match else value


class HRMArch(Arch):
    """HRM ACT v1."""

    published: ClassVar = (
        "hrm.hrm_act_v1@HierarchicalReasoningModel_ACTV1",
        "recursive_reasoning.hrm@HierarchicalReasoningModel_ACTV1",
    )
    H_layers: PositiveInt
    pos_encodings: Literal["rope", "learned"]

    @property
    def position(self) -> str:
        """As said."""
        return self.pos_encodings

    @property
    def core(self) -> Mapping[str, Any]:
        """Gradient through the last tick."""
        return {"gradient": "last_tick"}

    @property
    def layers(self) -> Mapping[str, int]:
        """Each level has its own."""
        return {"L": self.L_layers, "H": self.H_layers}

    @property
    def continues(self) -> bool:
        """It does."""
        return True


class TRMArch(Arch):
    """TRM: one net for both levels; H_layers is read by nobody."""

    published: ClassVar = ("recursive_reasoning.trm@TinyRecursiveReasoningModel_ACTV1",)
    H_layers: NonNegativeInt = 0
    pos_encodings: str
    mlp_t: bool = False
    puzzle_emb_len: NonNegativeInt = 16
    no_ACT_continue: bool = True

    @model_validator(mode="after")
    def _has_rows(self) -> Self:
        if self.puzzle_emb_len and not self.puzzle_emb_ndim:
            message = "without a puzzle embedding the published model drops as many tokens; say 0"
            raise FieldProblem(message, "puzzle_emb_len")
        room = self.puzzle_emb_len * self.hidden_size
        if room and room < self.puzzle_emb_ndim:
            message = f"{self.puzzle_emb_len} rows of {self.hidden_size} hold no {self.puzzle_emb_ndim} numbers"
            raise FieldProblem(message, "puzzle_emb_len")
        return self

    @property
    def position(self) -> str:
        """As said; any other word means none."""
        return self.pos_encodings if self.pos_encodings in ("rope", "learned") else "none"

    @property
    def prefix(self) -> Mapping[str, Any]:
        """How many rows, where it is said."""
        return {"positions": self.puzzle_emb_len} if self.puzzle_emb_len else {}

    @property
    def block(self) -> dict[str, Any]:
        """Over positions by an MLP, where it is said: its sum is normalised along them too."""
        if not self.mlp_t:
            return super().block
        width = {"expansion": self.expansion, "multiple": _MULTIPLE}
        norm = {"kind": "rms_tokens", "eps": self.rms_norm_eps}
        return {"kind": "transformer", "mixer": {"kind": "mlp", "width": width}, "mixer_norm": norm}

    @property
    def core(self) -> Mapping[str, Any]:
        """Gradient through the last cycle, of one net."""
        return {"gradient": "last_cycle", "share": True}

    @property
    def layers(self) -> Mapping[str, int]:
        """Both levels have the same."""
        return dict.fromkeys("LH", self.L_layers)

    @property
    def continues(self) -> bool:
        """Unless it is said."""
        return not self.no_ACT_continue

    @property
    def averages(self) -> Mapping[str, Any]:
        """As the published runs do."""
        return {"ema": 0.999}


_ARCHS: Final[tuple[type[Arch], ...]] = (HRMArch, TRMArch)


def spec_of_arch(source: Source, name: str, task: Any) -> str:
    """Return the spec that a published architecture file means, as YAML.

    name: of the spec. task: what it is trained on, as a spec says it. Raises SpecError, with the line, for what is no
    such file or cannot be expressed.
    """
    arch = validate(_kind(source), source)
    return dump({"spec": 1, "name": name, "about": f"{arch.name}, from {source.file}.", **_parts(arch), "task": task})


def _kind(source: Source) -> type[Arch]:
    tree = source.tree
    if not isinstance(tree, dict) or "name" not in tree:
        message = "no architecture: expected a mapping with a 'name', such as hrm.hrm_act_v1@..."
        raise SpecError([source.problem((), message)])
    found = {known: arch for arch in _ARCHS for known in arch.published}
    name = str(tree["name"])
    if name not in found:
        near = closest(name, found)
        hint = f"did you mean '{near}'?" if near else f"known: {', '.join(found)}"
        raise SpecError([source.problem(("name",), f"no spec can say what {name} is; {hint}")])
    return found[name]


def _parts(arch: Arch) -> dict[str, Any]:
    """Return all of the spec but its head and its task."""
    norm = {"kind": "rms", "place": "post", "gain": False, "eps": arch.rms_norm_eps}
    ffn = {"kind": "swiglu", "width": {"expansion": arch.expansion, "multiple": _MULTIPLE}}
    position = "learned" if arch.position == "learned" else "none"
    outputs = ["halt", "continue"] if arch.continues else ["halt"]
    model = {
        "dim": arch.hidden_size,
        "init": "lecun_normal",
        "defaults": {"norm": norm, "ffn": ffn},
        "embed": {"kind": "token", "position": position, "scale": "sqrt_dim", "init": "lecun_normal"},
        "memory": [_puzzle(arch)] if arch.puzzle_emb_ndim else [],
        "core": _core(arch),
        "head": {"kind": "lm", "read": "H"},
        "q_head": {"read": "H", "pool": "first", "outputs": outputs, "init": "zeros", "bias": -5.0},
    }
    target = "second_forward" if arch.continues else "none"
    halt = {"kind": "act", "explore": arch.halt_exploration_prob, "target": target, "eval": "max"}
    return {
        "model": model,
        "nest": {"passes": arch.halt_max_steps, "halt": halt},
        "loss": {"kind": arch.loss.kind, "halt": 0.5},
        "train": _train(arch),
    }


def _puzzle(arch: Arch) -> dict[str, Any]:
    optimizer = {"kind": "sign_sgd", "lr": 1e-2, "weight_decay": 0.1}
    width = {"width": arch.puzzle_emb_ndim, **arch.prefix}
    return {"at": "prepend", "kind": "puzzle", **width, "init": "zeros", "optimizer": optimizer}


def _core(arch: Arch) -> dict[str, Any]:
    periods = {"L": 1, "H": arch.L_cycles}
    levels = {level: {"period": periods[level], "layers": arch.layers[level], "block": arch.block} for level in "LH"}
    start = {"kind": "fixed", "per": "width", "init": {"trunc_normal": 1.0}}
    state = {"lifetime": "window", "commit": "every_pass", "start": start}
    order = {"kind": "hrm", "cycles": arch.H_cycles, "order": "sequential", "inject": ["L"]}
    return {**order, **arch.core, "state": state, "levels": levels}


def _train(arch: Arch) -> dict[str, Any]:
    return {
        "optimizer": {"kind": "adam_atan2", "lr": 1e-4, "betas": [0.9, 0.95], "weight_decay": 0.1},
        "schedule": {"kind": "constant", "warmup": 2000},
        "clip": "none",
        "batch": 768,
        **arch.averages,
        "precision": arch.forward_dtype,
        "epochs": 100000,
    }
