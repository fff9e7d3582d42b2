"""One step of a memory under its policy, as operations.

What the clock and the evidence say is known before the memory is read; what the controller says only after it. So a
memory that reads while it writes reads what the first two let through, and is then written again without what the
controller denies.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from hrmsearch.blocks.base import T, below, inside, said
from hrmsearch.blocks.clock import Ticked
from hrmsearch.blocks.gains import Target
from hrmsearch.blocks.gate import Gate
from hrmsearch.blocks.policy import Policy
from hrmsearch.blocks.tokenwise import Numbers, along_tokens, both, either, holds, per_token
from hrmsearch.ir import Builder, DType, Value

if TYPE_CHECKING:
    from hrmsearch.blocks.memory import Memory


class Governing:
    """Builds one step inside its function.

    own: the states of the memory. held: those of its policy, by part. Afterwards `left` holds what both become and
    what is told, `came` the stream as the memory met it, and `tokens` what was decided token by token: `alpha`, and
    where the controller `acts`.
    """

    def __init__(
        self, b: Builder, memory: "Memory", policy: Policy, own: Mapping[str, Value], held: Mapping[str, Value]
    ):
        self.b = b
        self.memory = memory
        self.policy = policy
        self.own = own
        self.held = held
        self.left: Numbers = {}
        self.tokens: Numbers = {}
        self.came: Value
        self._ticked: Ticked | None = None
        # who let through what, in turn; the first few ask for a write, the others may deny it
        self._masks: list[tuple[str, Value]] = []
        self._asked = 0

    def run(self, x: Value) -> Value:
        """Return the stream after the memory."""
        b, control = self.b, self.policy.control
        self.came = x = self._gained(x, "stream")
        write = self._proposed(x)
        if control is None or not control.deny:
            y, left = self.memory.step(b, self.own, x, self._budgeted(write))
            y = self._said(x, y)
        else:
            y, left = self.memory.step(b, self.own, x, write)
            y = self._said(x, y)
            write = self._budgeted(self._passed("control", both(b, write, self._allowed())))
            left |= self.memory.update(b, self.own, x, write)
        self.left |= left | self._say(y)
        return y

    def _part(self, name: str, left: Numbers) -> None:
        """Propose what a part of the policy carries."""
        self.left |= below("policy", below(name, left))

    def _gained(self, value: Value, target: Target) -> Value:
        factor = self.policy.factor(target)
        return value if factor == 1.0 else value * factor

    # -- writes ------------------------------------------------------------------------------------------------------

    def _proposed(self, x: Value) -> Value | None:
        """Return where the clock and the evidence let write."""
        b, policy, found = self.b, self.policy, None
        if policy.clock is not None:
            self._ticked = policy.clock.ticked(b, x, inside("clock", self.held))
            self._part("clock", self._ticked.left)
            found = self._passed("clock", self._ticked.mask)
        if policy.evidence is not None:
            mask, left = policy.evidence.mask(b, x, inside("evidence", self.held), policy.factor("evidence"))
            self._part("evidence", left)
            found = self._passed("evidence", both(b, found, mask))
        self._asked = len(self._masks)
        return found

    def _passed(self, by: str, mask: Value | None) -> Value:
        assert mask is not None
        self._masks.append((by, mask))
        return mask

    def _allowed(self) -> Value:
        """Return where the controller lets write."""
        b = self.b
        return b.op("not", holds(b, self.tokens["acts"]))

    def _budgeted(self, write: Value | None) -> Value | None:
        """Return where the budget lets write, the last to be asked."""
        if write is None or self._ticked is None or self.policy.clock is None:
            return write
        write, left = self.policy.clock.spent(self.b, write, self._ticked, inside("clock", self.held))
        self._part("clock", left)
        return self._passed("budget", write)

    # -- the gate ----------------------------------------------------------------------------------------------------

    def _said(self, x: Value, y: Value) -> Value:
        """Return the stream that follows the memory as far as the gate lets it."""
        b, gate, control = self.b, self.policy.gate, self.policy.control
        if gate is None and control is None and self.policy.factor("residual") == 1.0:
            return y
        d = self._gained(y - x, "residual")
        d = gate.cut(b, d) if gate is not None else d
        given: Numbers = {}
        if gate is not None:
            given["wanted"] = self._wanted(gate, x, d)
        if control is not None:
            seen, by = (b.op("detach", b.cast(value, DType.WIDE)) for value in (x, d))
            width = x.type.names[-1]
            given |= {"across": b.sum(seen * by, width), "square": b.sum(by * by, width)}
        self._follow(given)
        if gate is None:
            return x + d
        return x + b.cast(self.tokens["alpha"], x.type.dtype) * d

    def _wanted(self, gate: Gate, x: Value, d: Value) -> Value:
        """Return the alpha that the gate's own layers want."""
        b = self.b
        sure = self.memory.confidence(b, self.own, x)
        place = f"{b.place}.policy.gate"
        logit = gate.apply(b, "policy.gate", x, d, *([] if sure is None else [sure]), place=place)
        factor = self.policy.factor("alpha")
        alpha = b.sigmoid(self._gained(logit, "logit"))
        alpha = alpha if factor == 1.0 else alpha * factor
        return b.op("minimum", alpha, 1.0) if factor > 1.0 else alpha

    def _follow(self, given: Numbers) -> None:
        """Let alpha follow what is wanted from token to token, and the controller watch."""
        b, gate, control = self.b, self.policy.gate, self.policy.control
        parts = {name: part for name, part in (("gate", gate), ("control", control)) if part is not None}
        carried = {f"{name}.{key}": self.held[f"{name}.{key}"] for name, part in parts.items() for key in part.carries}
        if not carried:
            self.tokens |= {"alpha": given["wanted"]} if gate is not None else {}
            return

        def step(before: Numbers, token: Numbers) -> tuple[Numbers, Numbers]:
            after, told = Numbers(), Numbers()
            watched = inside("control", before)
            if gate is not None:
                cap = None if control is None else control.cap(b, watched)
                alpha, left = gate.follow(b, token["wanted"], inside("gate", before), cap)
                after |= below("gate", left)
                told["alpha"] = alpha
            if control is not None:
                rise = _rise(token, told.get("alpha"))
                after |= below("control", control.watch(b, rise, watched))
                told["acts"] = watched["acts"]
            return after, told

        self.tokens, left = along_tokens(b, carried, given, step)
        for name in parts:
            self._part(name, inside(name, left))

    # -- readings ----------------------------------------------------------------------------------------------------

    def _say(self, y: Value) -> Numbers:
        """Return what the policy is asked to tell of itself."""
        b, came, tokens = self.b, self.came, self.tokens
        makers = {
            "alpha": lambda: tokens["alpha"],
            "open": lambda: either(b, b.op("less", 0.0, tokens["alpha"])),
            "energy_before": lambda: _energy(b, came),
            "energy_after": lambda: _energy(b, y),
            "gain": lambda: b.full(self.policy.factor("stream"), per_token(came)),
            "commits": lambda: b.sum(self._passing(len(self._masks)), "T"),
            "denied": lambda: b.sum(self._passing(self._asked) - self._passing(len(self._masks)), "T"),
            "acting": lambda: tokens["acts"],
        }
        for number, (by, _) in enumerate(self._masks):
            makers[f"reason_{by}"] = lambda number=number: self._passing(number) - self._passing(number + 1)
        return said(b, self.policy.told(b, self.memory.tells), makers)

    def _passing(self, masks: int) -> Value:
        """Return 1.0 for the tokens that the first so many masks let through."""
        per = per_token(self.came)
        return self.b.broadcast(either(self.b, self._masks[masks - 1][1]), per) if masks else self.b.full(1.0, per)


def _rise(token: Numbers, alpha: Value | None) -> Value:
    """Return by how much |x + alpha d|^2 exceeds |x|^2."""
    if alpha is None:
        return token["across"] * 2.0 + token["square"]
    return alpha * (token["across"] * 2.0 + alpha * token["square"])


def _energy(b: Builder, x: Value) -> Value:
    """Return the mean over tokens of the sum of squares over the width, wide[B]."""
    wide = b.cast(x, DType.WIDE)
    return b.mean(b.sum(wide * wide, x.type.names[-1]), "T")


def parted(states: Mapping[str, T]) -> tuple[dict[str, T], dict[str, T]]:
    """Return what belongs to the states of a memory itself, and what to those of its policy, by their own names."""
    return {name: value for name, value in states.items() if not name.startswith("policy.")}, inside("policy", states)
