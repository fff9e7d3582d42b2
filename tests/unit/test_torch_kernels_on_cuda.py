"""Which kernels there are on CUDA, and how they are cut up there; neither needs a device."""

import sys
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hrmsearch.passes import fuse
from hrmsearch.passes.forms import Target
from hrmsearch.recurrence import describe
from hrmsearch_torch.kernels import Scan, available, scans
from hrmsearch_torch.kernels.settings import Kind, Settings, Size, chosen, table
from hrmsearch_torch.scans import FORMS
from tests.recurrences import CELLS, Cell


def test_a_size_that_was_measured_runs_as_it_was_fastest() -> None:
    for size, found in table():
        assert chosen(size) == found


def test_half_the_lanes_have_twice_the_chunks_but_no_short_ones() -> None:
    size, found = max(table(), key=lambda row: row[1].chunks)
    fewer = replace(size, lanes=size.lanes // 2)
    assert chosen(fewer).chunks == min(2 * found.chunks, size.steps // 64)
    assert chosen(replace(size, steps=64)).chunks == 1


@given(
    st.booleans(),
    st.sampled_from(["fixed", "varying", "heads"]),
    st.sampled_from([2, 4, 8]),
    st.integers(1, 2**22),
    st.integers(1, 2**16),
)
def test_every_size_has_settings_of_its_kind(backward: bool, kind: Kind, bytes_: int, lanes: int, steps: int) -> None:
    size = Size(backward, kind, bytes_, lanes, steps)
    of_its_kind = [found for one, found in table() if size.is_like(one)]
    found = chosen(size)
    assert replace(found, chunks=1) in [replace(one, chunks=1) for one in of_its_kind]
    assert 1 <= found.chunks <= max(1, steps // 64)


def test_tiles_under_way_fit_into_shared_memory() -> None:
    assert Settings(64, 2, 4).within(64) == Settings(64, 2, 4)
    assert Settings(64, 2, 4).within(16 * 6 * 8 * 2) == Settings(64, 2, 2)
    assert Settings(64, 2, 4).within(10**6).stages == 1


# -- where they run ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("here", [False, True], ids=["without Triton", "with Triton"])
def test_cuda_has_kernels_where_triton_is_installed(monkeypatch: pytest.MonkeyPatch, here: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)

    def found(name: str) -> object:
        return object() if here and name == "triton" else None

    # the package has a function of the module's name
    monkeypatch.setattr(sys.modules[available.__module__], "find_spec", found)
    assert available("cuda") == here


@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_a_recurrence_on_cuda_is_left_to_a_kernel(cell: Cell) -> None:
    fused = fuse(cell.graph(8), Target("torch", "cuda", tuple(FORMS)))
    assert [scan.runs_on("cuda") for scan in scans(fused).values()] == [True]


def test_matrices_too_wide_for_a_multiprocessor_stay_with_torch_on_cuda() -> None:
    (cell,) = (cell for cell in CELLS if cell.widths)
    scan = Scan(describe(cell.graph(65).functions["Recurrence"].body))
    assert (scan.runs_on("cpu"), scan.runs_on("cuda")) == (True, False)
