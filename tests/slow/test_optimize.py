"""What `--optimize` compiles trains as the plain source does."""

import shutil
from pathlib import Path

import pytest

from hrmsearch.train import RunOptions, Silent, run
from tests.training import tiny

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles with g++"),
    # torch warns of its own parts
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
]


@pytest.mark.parametrize("optimizer", ["{kind: adamw, lr: 0.01}", "{kind: adam_atan2, lr: 0.01}"])
def test_an_optimised_run_learns_what_a_plain_one_learns(tmp_path: Path, optimizer: str) -> None:
    spec = tiny("train.epochs=1", f"train.optimizer={optimizer}")
    found: list[float] = []
    for optimize in (False, True):
        (result,) = run(spec, RunOptions(out=tmp_path / str(optimize), optimize=optimize), Silent())
        found.append(result.valid[-1].loss)
    assert found[1] == pytest.approx(found[0], rel=1e-3)
