"""Memory of the process while and after a large model is loaded."""

import ctypes
import subprocess
import sys

import numpy as np
import pytest
from sklearn.ensemble import RandomForestRegressor

from modelgate import ModelPackage

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform != "linux" or not hasattr(ctypes.CDLL(None), "malloc_trim"), reason="needs glibc"
    ),
]

LOAD = """
import sys
from pathlib import Path
from modelgate import ModelPackage

def read(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))

ModelPackage.load(sys.argv[1])
before = read("VmRSS")
Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
package = ModelPackage.load(sys.argv[2])
print(read("VmRSS") - before, read("VmHWM") - before)
"""


def test_memory_of_a_loaded_model(tmp_path):
    """Five times the size of the file at the peak, and three times afterwards, as long as unused memory was kept."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(4000, 2))
    for name, trees in (("small", 1), ("large", 100)):
        model = RandomForestRegressor(trees, random_state=0).fit(rows, rng.normal(size=4000))
        ModelPackage.from_estimator(model, rows[:10], name=name).save(tmp_path / f"{name}.mgpkg")
    size = (tmp_path / "large.mgpkg").stat().st_size
    paths = [str(tmp_path / "small.mgpkg"), str(tmp_path / "large.mgpkg")]
    result = subprocess.run([sys.executable, "-c", LOAD, *paths], check=True, capture_output=True, text=True)
    after, peak = map(int, result.stdout.split())

    assert after < 1.4 * size
    assert peak < 4.5 * size
