"""tinygrad on the CPU in tests: whether it is here, and kernels that compile soon."""

from collections.abc import Iterator

import pytest

from hrmsearch.errors import BackendError
from hrmsearch.runtime import load_backend


def _lacking() -> str:
    """Return why tinygrad cannot run on the CPU here; nothing where it can."""
    try:
        said = load_backend("tinygrad").devices()["CPU"]
    except BackendError as error:
        return str(error)
    return said if "was not found" in said or "unavailable" in said else ""


needs_tinygrad = pytest.mark.skipif(bool(_lacking()), reason=_lacking() or "tinygrad is here")


@pytest.fixture(scope="module")
def plain_kernels() -> Iterator[None]:
    """Leave kernels as they are scheduled, which halves the time they compile for, and compile them in this process."""
    from tinygrad.helpers import Context

    with Context(NOOPT=1, PARALLEL=0):
        yield
