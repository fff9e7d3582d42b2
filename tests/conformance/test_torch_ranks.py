"""Processes that train one model together end where one does on the joined batch."""

import subprocess
import sys
from pathlib import Path

import numpy as np

from hrmsearch.ir.checkpoint import read_arrays
from tests.property.test_puzzles import TABLE
from tests.ranks import trained

ROOT = Path(__file__).parents[2]


def test_two_processes_train_the_table_that_one_trains_on_the_joined_batch(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.ranks"]
    outs = [tmp_path / f"{rank}.safetensors" for rank in range(2)]
    started = [
        subprocess.Popen([*command, str(rank), "2", str(tmp_path / "meeting"), str(out)], cwd=ROOT)
        for rank, out in enumerate(outs)
    ]
    alone = trained()
    assert [process.wait(timeout=120) for process in started] == [0, 0]
    first, second = (read_arrays(out) for out in outs)
    np.testing.assert_array_equal(first[TABLE], second[TABLE])
    for path, value in alone.items():
        np.testing.assert_allclose(first[path], value, rtol=0, atol=1e-12, err_msg=path)


def test_a_part_of_the_batch_alone_trains_another_table() -> None:
    assert not np.allclose(trained(0, 2)[TABLE], trained()[TABLE])
