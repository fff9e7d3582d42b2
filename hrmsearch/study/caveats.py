"""What a reader should know before believing a comparison of trained arms."""

from collections.abc import Iterator, Sequence
from typing import Final

from hrmsearch.study.runs import RunArm
from hrmsearch.train import manifest

#: how far parameter counts may lie apart, relative to the control's
MATCHED: Final = 0.02
#: what every seed of every arm should have run under, by manifest key
_ALIKE: Final = ("backend", "device", "precision", "optimize", "kernels", "versions")


def caveats(arms: Sequence[RunArm], seeds: Sequence[int], split: str) -> Iterator[str]:
    """Yield a line for each: arms, the control first, compared over these seeds on a split."""
    yield from _about_seeds(arms, seeds)
    if split == "valid":
        yield "valid chose each run's epoch, so it says what training found, not what to expect; compare on test"
    yield from _about_specs(arms)
    yield from _about_conditions(arms)


def listed(seeds: Sequence[int]) -> str:
    """Return seeds in words: `seed 3`, `seeds 0, 1`."""
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}"


def _about_seeds(arms: Sequence[RunArm], seeds: Sequence[int]) -> Iterator[str]:
    for arm in arms:
        if arm.unfinished:
            yield f"{arm.name}: not finished and left out: {listed(arm.unfinished)}"
        if spare := [seed for seed in arm.seeds if seed not in seeds]:
            yield f"{arm.name}: not in every arm and left out: {listed(spare)}"
    if len(seeds) == 1:
        yield f"only {listed(seeds)} is in every arm: one seed shows no difference"


def _about_specs(arms: Sequence[RunArm]) -> Iterator[str]:
    control = arms[0].first
    more = {arm.name: arm.first["params"] - control["params"] for arm in arms[1:]}
    if far := [name for name, extra in more.items() if abs(extra) > MATCHED * control["params"]]:
        shares = ", ".join(f"{name} {100 * more[name] / control['params']:+.1f} %" for name in far)
        yield f"parameters are not matched; against {arms[0].name}: {shares}"
    for arm in arms[1:]:
        if arm.first["spec_hash"] == control["spec_hash"]:
            yield f"{arm.name} and {arms[0].name} are the same spec"
    codes = {
        arm.name: sorted({found["code"] for found in arm.first["diagnostics"] if found["accepted"]}) for arm in arms
    }
    if accepted := [f"{name} {' '.join(found)}" for name, found in codes.items() if found]:
        yield f"trained in spite of diagnostics: {', '.join(accepted)}"


def _about_conditions(arms: Sequence[RunArm]) -> Iterator[str]:
    for key in _ALIKE:
        told = {arm.name: [run.manifest[key] for run in arm.runs if key in run.manifest] for arm in arms}
        found = {name: sorted(set(map(manifest.plain, values))) for name, values in told.items()}
        if len({value for values in found.values() for value in values}) > 1:
            yield f"{key} differs: " + "; ".join(f"{name} {' and '.join(values)}" for name, values in found.items())
    limits = {arm.name: arm.first["spec"]["train"]["epochs"] for arm in arms}
    if len(set(limits.values())) > 1:
        yield "at most so many epochs were trained: " + ", ".join(f"{name} {limit}" for name, limit in limits.items())
