"""Tiny specs over the toy task, among them at least one with every kind of part."""

from string import Template

from hrmsearch.spec.registry import discover
from hrmsearch.testing import toy

discover()
assert toy  # the task of the specs below

SPEC = """
spec: 1
name: tiny
model:
  dim: 4
  init: {normal: 0.5}
  defaults: {ffn: {kind: swiglu, width: 3}, norm: {kind: rms}}
  embed: {kind: token, init: {normal: 0.5}}
  memory: $memory
  core: $core
  head: $head
  q_head: $q_head
nest: {passes: $passes, backprop: {passes: $passes}}
loss: {kind: $loss}
task: {kind: toy, window: 4, loader: contiguous, kinds: $puzzles}
accept: {HS101: an autoencoder reads the last token, HS102: a memory is trained by a later window}
"""
LEVELS = """
  inject: [L],
  gradient: {last_ticks: 2},
  state: {lifetime: $lifetime, start: {kind: $start, per: position, init: {normal: 0.5}}},
  levels: {
    L: {period: 1, block: {kind: transformer, mixer: {kind: attention, heads: 2}}},
    H: {period: 2, block: {kind: transformer, mixer: {kind: attention, heads: 1, position: none}}}},
"""
LAST = "kind: lm, read: last"


def levels(lifetime: str, start: str) -> str:
    """Return the fields of two levels, in the flow style of YAML."""
    return Template(LEVELS).substitute(lifetime=lifetime, start=start)


def model(
    core: str,
    head: str = LAST,
    memory: str = "",
    q_head: str = "none",
    loss: str = "cross_entropy",
    passes: int = 1,
    puzzles: int = 0,
) -> str:
    """Return a spec of these parts."""
    parts = {"core": f"{{{core}}}", "head": f"{{{head}}}", "memory": f"[{memory and f'{{{memory}}}'}]"}
    return Template(SPEC).substitute(parts, q_head=q_head, loss=loss, passes=passes, puzzles=puzzles)


def stack(block: str, head: str = LAST, memory: str = "") -> str:
    """Return a spec of one block."""
    return model(f"kind: stack, blocks: [{{{block}}}]", head, memory)


def alone(mixer: str) -> str:
    """Return a spec of one mixer, whose state goes along the stream."""
    return stack(f"kind: residual, mixer: {{{mixer}, lifetime: stream, commit: last_pass}}")


MIXERS = {
    "hl_kernel": alone("kind: hl_kernel, period: 2, cycles: 2"),
    "hl_kernel complex": alone("kind: hl_kernel, period: 2, channels: complex, order: simultaneous"),
    "hl_kernel gated": alone("kind: hl_kernel, gated: true, discretize: bilinear"),
    "hrm_state": alone("kind: hrm_state, period: 3"),
    "mlstm": alone("kind: mlstm, heads: 2, width: 4, block: 2, conv: 2"),
    "mlstm in chunks": alone("kind: mlstm, heads: 1, width: 4, conv: none, chunk: 2, start: zero"),
    "s4d": alone("kind: s4d, state: 4"),
    # a norm over two channels that are nearly equal makes much of rounding, so this one's eps is large
    "slstm": alone("kind: slstm, heads: 2, conv: 2, eps: 0.1"),
}
INFINI = "kind: infini, heads: 2, lifetime: stream, commit: last_pass"
RECURRENT = "kind: recurrent, lifetime: stream, commit: last_pass, mixer: {kind: hl_kernel}"
POLICY = """policy: {
  gains: [exp_bounded/serotonin, {kind: tanh_bounded, preset: noradrenaline, level: 0.5}],
  clock: {kind: slots, every: 2, slot: 1, budget: {writes: 1, window: 3}},
  evidence: {kind: llr, ratio: 2.0, threshold: -0.2},
  gate: {kind: alpha, width: 3, clamp: 1.0, rate: 0.2, hysteresis: {open: 0.3, close: 0.1}},
  control: {kind: energy, window: 3, limit: 0.01, clamp: 0.3}}
"""
OVER_POSITIONS = "kind: transformer, mixer: {kind: mlp, width: 3}, mixer_norm: {kind: rms_tokens}"
PUZZLE = "at: prepend, kind: puzzle, width: 6, init: {normal: 1.0}, optimizer: {lr: 0.02}"
ATTENTION = "kind: transformer, mixer: {kind: attention, heads: 2}"
MODELS = {
    **MIXERS,
    "hrm core": model(
        f"kind: hrm, cycles: 2, {levels('window', 'learned')}",
        "kind: lm, read: H, tied: true",
        q_head="{kind: pooled, read: H}",
        passes=2,
    ),
    "hrm block": stack(f"kind: hrm, {levels('pass', 'fixed')} order: simultaneous"),
    "stack of stacks": stack(
        f"kind: stack, norm: {{kind: layer, bias: true}}, blocks: [{{{ATTENTION}, ffn: {{kind: geglu, width: 3}}}}]"
    ),
    "stack that skips": model(
        f"kind: stack, layers: 3, blocks: [{{{ATTENTION}}}], skip: {{bias: 0.0, init: {{normal: 1.0}}, cost: 1.0}}"
    ),
    "autoencoder": stack(ATTENTION, "kind: autoencoder, read: last"),
    "infini": stack(ATTENTION, memory=f"at: input, {INFINI}"),
    "infini by the delta rule": stack(
        ATTENTION, memory=f"at: output, {INFINI}, update: delta, chunk: 2, local: false, gate: token, residual: false"
    ),
    "cube": stack(
        ATTENTION,
        memory="at: core.0, kind: cube, capacity: 5, top: 2, writes: 2, evict: least_used, width: 3, sharpness: 4.0, "
        "residual: false, lifetime: stream, commit: last_pass",
    ),
    "governed memory": stack(ATTENTION, memory=f"at: core.0, {INFINI}, {POLICY}"),
    "recurrent memory": stack(ATTENTION, memory=f"at: input, {RECURRENT}"),
    "mlp over positions": stack(OVER_POSITIONS, "kind: lm, read: last", f"at: input, {INFINI}"),
    "losses": model(
        f"kind: hrm, {levels('window', 'fixed')}",
        "kind: lm, read: [L, H]",
        loss="sum, terms: [{kind: cross_entropy}, {kind: oacd, read: [L, H], weight: 0.5}]",
    ),
    "lagged": model(f"kind: hrm, {levels('pass', 'fixed')}", "kind: lm, read: H", "kind: lagged, of: H, project: true"),
    "puzzle": model(
        f"kind: stack, blocks: [{{{ATTENTION}}}]", memory=PUZZLE, loss="stablemax_cross_entropy", puzzles=3
    ),
}
