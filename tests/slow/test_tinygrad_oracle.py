"""HRM ACT v1 and TRM on tinygrad against their published code: inference and train step."""

from typing import Any

import pytest

pytest.importorskip("tinygrad", reason="tinygrad is not installed")

from tests.conformance.test_oracle_hrm import FILES, SLOPE, Data, slopes, walk
from tests.conformance.test_oracle_hrm import numbers as numbers
from tests.tinygrad_cpu import needs_tinygrad, plain_kernels

pytestmark = [pytest.mark.slow, needs_tinygrad, pytest.mark.usefixtures(plain_kernels.__name__)]
#: and the parts that neither has
TRIED = (*FILES, "trm mlp", "hrm learned")


@pytest.mark.parametrize("numbers", TRIED, indirect=True)
def test_five_steps_are_those_of_the_published_code(numbers: tuple[dict[str, Any], Data]) -> None:
    for mode in ("eval", "train"):
        walk(*numbers, "tinygrad", mode)


@pytest.mark.parametrize("numbers", FILES, indirect=True)
def test_gradients_and_the_step_of_the_table_are_those_of_the_published_code(
    numbers: tuple[dict[str, Any], Data],
) -> None:
    slopes(*numbers, "tinygrad", "float32", SLOPE)
