"""The folder of a study as `hrmsearch sweep` leaves it, around runs that were trained for other tests."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

LEARN, L, H = "train.optimizer.lr", "model.core.levels.L.period", "model.core.levels.H.period"


def trial(arm: str, number: int, point: Mapping[str, Any], value: float | None, **outcome: Any) -> dict[str, Any]:
    """Return the record of a trial; without a value it was not trained."""
    what = {"what": "trained" if value is not None else "unsound", "why": "", "same_as": None, **outcome}
    sizes = {"params": 1000 + number, "flops_per_token": 5000.0 * (number + 1)}
    known = {"name": f"{arm}-{number}", "arm": arm, "number": number, "state": "complete"}
    values = [] if value is None else [value]
    return {**known, "point": dict(point), "values": values, "outcome": {**what, "sizes": sizes}}


def searched() -> list[dict[str, Any]]:
    """Return trials of two arms: of `told` enough to say what matters, of `plain` a few."""
    told = [trial("told", i, {LEARN: 1e-3 * 2**i, L: 1 + i % 2, H: 2 + 2 * (i % 3)}, 4.0 - 0.1 * i) for i in range(8)]
    lost = trial("told", 8, {LEARN: 1e-3, L: 1, H: 3}, None, why="HS101 future-leak <here>\nin detail")
    again = trial("told", 9, told[0]["point"], 4.0, same_as=0)
    plain = [trial("plain", i, {LEARN: 1e-3 * (i + 1)}, 3.9 + 0.1 * i) for i in range(3)]
    return [*told, lost, again, *plain, {**trial("plain", 0, {}, 3.0), "seed": 1, "name": "plain-seed-1"}]


def study(runs: Path, folder: Path) -> Path:
    """Make the folder of a study whose finalists are the runs of the specs `told` and `plain`."""
    for arm in ("told", "plain"):
        shutil.copytree(runs / arm, folder / "finalists" / arm)
    asked = {"study": "tiny", "question": "Is it <so>?", "control": "plain", "objectives": {"valid.bpc": "min"}}
    chosen: dict[str, Any] = {
        "told": {"trial": 7, "point": {}, "front": [7]},
        "plain": {"trial": 0, "point": {}, "front": [0]},
    }
    record: dict[str, Any] = {
        "format": "hrmsearch study 1",
        "file": asked,
        "arms": [{"name": "told"}, {"name": "plain"}],
    }
    record |= {"trials": searched(), "finalists": chosen, "comparison": None, "why": ""}
    (folder / "study.json").write_text(json.dumps(record))
    return folder
