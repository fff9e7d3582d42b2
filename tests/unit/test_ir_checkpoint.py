"""Checkpoints: what is written reads back, and what does not fit says what differs."""

from pathlib import Path

import numpy as np
import pytest

from hrmsearch.errors import RunError
from hrmsearch.ir import initial_params
from hrmsearch.ir.checkpoint import check_params, read_arrays, read_params, write_arrays
from hrmsearch.testing.examples import structured_graph

GRAPH = structured_graph()


def test_parameters_read_back_in_the_graphs_order(tmp_path: Path) -> None:
    params = initial_params(GRAPH, 0)
    write_arrays(tmp_path / "new" / "p.safetensors", dict(reversed(params.items())))
    again = read_params(tmp_path / "new" / "p.safetensors", GRAPH)
    assert list(again) == list(params)
    assert all(np.array_equal(again[path], params[path]) for path in params)


def test_a_view_is_written_as_it_reads(tmp_path: Path) -> None:
    array = np.arange(6.0).reshape(2, 3).T
    write_arrays(tmp_path / "a", {"x": array, "scalar": np.asarray(3.0)})
    again = read_arrays(tmp_path / "a")
    assert np.array_equal(again["x"], array)
    assert again["scalar"].shape == ()
    assert list(tmp_path.iterdir()) == [tmp_path / "a"]


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_a_truncated_file_is_named(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "p.safetensors"
    write_arrays(path, initial_params(GRAPH, 0))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(RunError, match=r"p\.safetensors: truncated, or not a safetensors file"):
        read_params(path, GRAPH)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such checkpoint"):
        read_params(tmp_path / "none", GRAPH)


def test_a_folder_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    with pytest.raises(RunError, match="cannot be written"):
        write_arrays(tmp_path / "p", {})


def test_foreign_parameters_say_what_differs() -> None:
    params = initial_params(GRAPH, 0)
    del params["start"]
    with pytest.raises(RunError, match="lack start and have foreign other"):
        check_params(GRAPH, params | {"other": np.zeros(2)})
    with pytest.raises(RunError, match=r"start has shape \[5\], the graph wants \[4\]"):
        check_params(GRAPH, params | {"start": np.zeros(5)})
    with pytest.raises(RunError, match="start holds int64, not floats"):
        check_params(GRAPH, params | {"start": np.zeros(4, np.int64)})
