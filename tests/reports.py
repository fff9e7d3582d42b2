"""Finished runs to report on: two specs of two seeds on one text, one accepted for a reason that is no HTML."""

from pathlib import Path

from hrmsearch.train import RunOptions, Silent, run
from tests.training import tiny

REASON = "drawn <b>& kept</b>"


def trained(out: Path) -> Path:
    """Train two tiny specs and return the folder above their runs."""
    leaks = ("model.memory[0].lifetime=window", "model.memory[0].commit=every_pass", f"accept.HS101={REASON}")
    told = ("name=told", "model.core.telemetry=[energy]", *leaks, "seeds=[0,1]")
    plain = ("name=plain", "model.memory=[]", "nest.passes=1", "train.epochs=3", "seeds=[0,1,2]")
    for overrides in (told, plain):
        run(tiny(*overrides), RunOptions(out=out, command=("hrmsearch", "run", "tiny.yaml")), Silent())
    return out
