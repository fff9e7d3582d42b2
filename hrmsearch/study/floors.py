"""What an arm must be better than to have learned anything: controls that need no neural model, on the same targets."""

from collections.abc import Mapping

from hrmsearch.study.statistics import Comparison


def floors(comparison: Comparison, controls: Mapping[str, float]) -> list[str]:
    """Return a sentence for each set of arms that the same controls are at least as good as, by their means.

    controls: values of the metric compared, by name. An arm with a diverged seed is better than none.
    """
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, value in controls.items():
        groups.setdefault(_behind(comparison, value), []).append(name)
    return [_sentence(arms, names, len(comparison.arms)) for arms, names in groups.items()]


def _behind(comparison: Comparison, value: float) -> tuple[str, ...]:
    """Return the arms whose mean is not better than a value."""
    sign = 1 if comparison.better == "lower" else -1
    return tuple(arm.name for arm in comparison.arms if arm.mean is None or sign * (arm.mean - value) >= 0)


def _sentence(arms: tuple[str, ...], controls: list[str], count: int) -> str:
    named = _joined(controls)
    if not arms:
        return f"Every arm is on average better than {named}."
    if len(arms) == count:
        return f"No arm is on average better than {named}."
    return f"{_joined(list(arms))} {'is' if len(arms) == 1 else 'are'} on average no better than {named}."


def _joined(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
