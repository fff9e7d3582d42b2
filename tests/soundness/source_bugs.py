"""Emitted programs that are not their graph: texts of the source replaced before it runs."""

from tests.soundness.planting import SKIPS, Bug, emitted_wrong

_FAST = 'self.levels["L"][0]'
_LAST_TICK = f"        z_L = {_FAST}(z_L + e)  # (B, T, D)\n        return"
_ROWS = "rows = (reset >= lifetime)"
_EMBED = "F.embedding(tokens, self.table)"
_RUNNING_MEAN = f"""x = {_EMBED}
        self.mean = 0.9 * self.mean + 0.1 * x.detach().mean()
        return x - self.mean"""
_ADDED = "scaled.flatten(2) @ self.w_o"
_NEW_M = "M + wide_matmul(sigma_k.mT, wide(v))"

BUGS: tuple[Bug, ...] = (
    Bug(
        "attention-not-causal",
        "the fused attention is called without its mask",
        ("causality", "values"),
        emitted_wrong(("is_causal=True", "is_causal=False")),
    ),
    Bug(
        "norm-over-tokens",
        "the norm runs over tokens, and so does the future's size",
        ("causality", "values"),
        emitted_wrong(("F.rms_norm(x, (4,), eps=1e-06)", "F.rms_norm(x.mT, (x.shape[1],), eps=1e-06).mT")),
    ),
    Bug(
        "readout-detached",
        "what the memory adds to the stream is detached",
        ("gradients", "derivative"),
        emitted_wrong((_ADDED, f"({_ADDED}).detach()")),
    ),
    Bug(
        "tick-detached",
        "the last tick takes the stream without gradient, which the tick before still has",
        ("derivative",),
        emitted_wrong((_LAST_TICK, _LAST_TICK.replace("+ e", "+ e.detach()"))),
    ),
    Bug(
        "no-grad-added",
        "the fast level's last tick runs without gradient",
        ("gradients", "derivative"),
        emitted_wrong((_LAST_TICK, f"        with torch.no_grad():\n    {_LAST_TICK}")),
    ),
    Bug(
        "closed-tokens-moved",
        "a layer runs at the tokens that are closed and leaves the open ones as they are",
        ("values", "derivative"),
        emitted_wrong(
            ("rows = is_open.flatten()", "rows = (~is_open).flatten()"),
            ("(is_open, x, *others)]", "(~is_open, x, *others)]"),
        ),
        SKIPS,
    ),
    Bug(
        "scan-forgets",
        "a linear scan does not go on from the state it just computed",
        ("scan-forms", "step-chunk-whole", "values"),
        emitted_wrong(("h = add(b_t, a_t, h)\n        states.append(h)", "states.append(add(b_t, a_t, h))")),
        ("recurrent",),
    ),
    Bug(
        "no-grad-removed",
        "ticks that should run without gradient have one",
        ("derivative",),
        emitted_wrong(("with torch.no_grad():", "if True:")),
    ),
    Bug(
        "levels-share-weights",
        "the slow level runs the fast one's block",
        ("gradients", "values"),
        emitted_wrong(('self.levels["H"][0]', _FAST)),
    ),
    Bug(
        "one-state-not-restored",
        "a reset forgets one path",
        ("reset-rows", "values"),
        emitted_wrong(("reset >= lifetime", 'reset >= (STREAM + 1 if path == "core.z_H" else lifetime)')),
    ),
    Bug(
        "reset-compared-strictly",
        "a reset restores only what lives less long than it says",
        ("reset-rows", "values"),
        emitted_wrong(("reset >= lifetime", "reset > lifetime")),
    ),
    Bug(
        "reset-of-first-row",
        "the first row's reset is every row's",
        ("reset-rows", "values"),
        emitted_wrong((_ROWS, "rows = (reset[:1] >= lifetime)")),
    ),
    Bug(
        "last-ignored",
        "the memory commits in every pass, whichever is the last",
        ("commits", "values", "causality"),
        emitted_wrong(("new_M if last else M", "new_M")),
    ),
    Bug(
        "state-not-returned",
        "one leaf of the memory never moves",
        ("values",),
        emitted_wrong(("new_z if last else z", "z")),
    ),
    Bug(
        "wrong-transpose",
        "the outer product of keys and values is transposed",
        ("values",),
        emitted_wrong((_NEW_M, "M + wide_matmul(sigma_k.mT, wide(v)).mT")),
    ),
    Bug(
        "carry-written-in-place",
        "the memory is added to where it lies, so the carry that was given changes",
        ("commits",),
        emitted_wrong((_NEW_M, f"{_NEW_M} if torch.is_grad_enabled() else M.add_(wide_matmul(sigma_k.mT, wide(v)))")),
    ),
    Bug(
        "rows-share-memory",
        "every row commits the mean of all rows' memories",
        ("row-independence", "values"),
        emitted_wrong((_NEW_M, f"({_NEW_M}).mean(0, keepdim=True).expand_as(M)")),
    ),
    Bug(
        "hidden-state",
        "the module keeps a running mean of its own, which no carry holds",
        ("interrupted-stream", "reset-rows", "values"),
        emitted_wrong(("self.table =", "self.mean = 0.0\n        self.table ="), (f"return {_EMBED}", _RUNNING_MEAN)),
    ),
    Bug(
        "dropout-in-evaluation",
        "dropout is on outside of training",
        ("row-independence", "interrupted-stream", "values"),
        emitted_wrong((_EMBED, f"F.dropout({_EMBED}, 0.5)")),
    ),
    Bug(
        "loss-summed",
        "the loss is the sum over targets, not their mean",
        ("values", "derivative"),
        emitted_wrong(("nll.sum() / count.sum().clamp(min=1.0)", "nll.sum()")),
    ),
)
