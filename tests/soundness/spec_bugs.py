"""Specs that the loader takes and that are unsound: one override away from a sound one."""

from tests.soundness.planting import Bug, override

_FULL = ("model.core.gradient=full", "model.core.state.start={kind: learned, init: {normal: 0.5}}")
_LAST = ("model.core.gradient=last_tick",)
_NO_MEMORY = ("model.memory=[]",)

BUGS: tuple[Bug, ...] = (
    Bug(
        "non-causal-mixer",
        "a level's attention looks at later tokens",
        ("HS101", "causality"),
        override("model.core.levels.H.block.mixer.causal=false"),
    ),
    Bug(
        "memory-committed-early",
        "the memory commits every pass, so the second pass reads the whole window from it",
        ("HS101", "HS106", "causality"),
        override("model.memory[0].commit=every_pass"),
    ),
    Bug(
        "shuffled-stream",
        "a memory is carried between windows that a shuffled loader leaves unrelated",
        ("HS103",),
        override("task.loader=shuffled"),
    ),
    Bug(
        "fast-level-untrained",
        "levels read what stood before the tick, so a gradient through one tick never reaches the fast one",
        ("HS102",),
        override("model.core.order=simultaneous"),
        _LAST,
    ),
    Bug(
        "head-before-slow-level",
        "the head reads the fast level, which the slow one reaches only a tick later",
        ("HS102",),
        override("model.head.read=L"),
        _LAST,
    ),
    Bug(
        "start-untrained",
        "gradient ends before the tick that reads the learned start",
        ("HS102",),
        override("model.core.gradient=last_tick"),
        _FULL,
    ),
    Bug(
        "memory-without-past",
        "the memory is emptied with every window, so it never holds what attention cannot see",
        ("HS109",),
        override("model.memory[0].lifetime=window"),
    ),
    Bug(
        "levels-never-carried",
        "the levels' states commit at the end of their window only, which is when they are restored",
        ("HS108",),
        override("model.core.state.commit=last_pass"),
        _NO_MEMORY,
    ),
    Bug(
        "stream-replaced",
        "what the memory says takes the place of the token itself",
        ("HS107",),
        override("model.memory[0].residual=false"),
    ),
)
