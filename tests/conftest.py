"""What every test may use: Hypothesis profiles, goldens, and the data and oracles that lie outside the repository."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# torch reads this when it is first imported, so tests are single-threaded without importing it here. Sums in a fixed
# order make bitwise comparisons hold, and parallel test processes do not fight for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

GOLDEN = Path(__file__).parent / "golden"

# No deadlines: an example may be the one that compiles a model, and test machines are busy.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile("ci", max_examples=50, deadline=None, derandomize=True, print_blob=True)
settings.load_profile(os.environ.get("HRMSEARCH_HYPOTHESIS") or ("ci" if os.environ.get("CI") else "dev"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-goldens", action="store_true", help="write tests/golden instead of comparing with it")


@pytest.fixture(autouse=True)
def single_threaded_torch() -> None:
    """Keep torch to one thread even where a plug-in imported it before this file could say so."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Return a check that compares a text with tests/golden/<name>, or writes it under --update-goldens."""

    def check(name: str, got: str) -> None:
        path = GOLDEN / name
        if request.config.getoption("--update-goldens"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(got, encoding="utf-8", newline="\n")
        if not path.exists():
            pytest.fail(f"no golden {name}: run `make goldens` and read the diff")
        assert got == path.read_text(encoding="utf-8")

    return check


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of corpora and puzzles, or skip."""
    return _outside("HRMSEARCH_DATA", "the folder of corpora and puzzles")


@pytest.fixture(scope="session")
def oracle_root() -> Path:
    """Return the folder of other implementations' outputs, or skip."""
    return _outside("HRMSEARCH_ORACLE", "the folder of other implementations' outputs")


@pytest.fixture(scope="session")
def report_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder above the finished runs of two tiny specs, to be read only."""
    from tests.reports import trained

    return trained(tmp_path_factory.mktemp("runs"))


def _outside(variable: str, meaning: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is unset: it names {meaning}")
    path = Path(value)
    if not path.is_dir():
        pytest.fail(f"{variable} names {value}, which is no folder")
    return path
