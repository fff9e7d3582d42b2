"""Every shipped spec as kernels of devices that are not here: they are written, and compilers read them.

CUDA goes through nvcc. Metal goes through clang as C++, with a header that declares what the kernels use; that finds
what is malformed, not what Apple's compiler alone would refuse.
"""

import shutil
import subprocess
from pathlib import Path

import pytest

import hrmsearch as hs
from hrmsearch.spec.load import shipped
from hrmsearch.train import RunOptions, kernels_for
from tests.shipping import brief

pytest.importorskip("tinygrad", reason="tinygrad is not installed")

pytestmark = pytest.mark.slow

HEADERS = Path(__file__).parent / "metal"
COMPILERS = {
    "CUDA": ["nvcc", "-arch=sm_90", "--ptx", "-x", "cu"],
    "METAL": ["clang++", "-std=c++17", "-fsyntax-only", "-w", "-I", str(HEADERS), "-x", "c++"],
}


#: a recurrence writes kernels for every token, so most specs are written for few
FEW = (2, 8)
WHOLE = ("infini_hrm", "transformer")


@pytest.mark.parametrize("device", COMPILERS)
@pytest.mark.parametrize("name", shipped())
def test_a_shipped_spec_is_written_and_compiles(name: str, device: str, tmp_path: Path) -> None:
    spec = brief(name)
    shape = (spec.train.batch, spec.task.window) if name in WHOLE else FEW
    text = kernels_for(spec, hs.lower(spec), RunOptions(backend="tinygrad", device=device), *shape)
    heads = [line for line in text.splitlines() if line.startswith("// ") and " launches of " in line]
    assert len(heads) == 1 + spec.nest.passes
    compiler, *arguments = COMPILERS[device]
    if not shutil.which(compiler):
        pytest.skip(f"{compiler} was not found: the kernels were written but not compiled")
    source = tmp_path / "kernels"
    source.write_text(text)
    done = subprocess.run([compiler, *arguments, source, "-o", tmp_path / "out"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
