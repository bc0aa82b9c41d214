"""Peak memory for the eigenvalues of a large network, measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

MILLION = """
import re
from pathlib import Path
import torch
from torch import nn
from gst_tutorial.flatness.hessian import hessian_eigenvalues

torch.set_num_threads(1)
torch.manual_seed(0)
model = nn.Sequential(nn.Linear(1000, 980), nn.ReLU(), nn.Linear(980, 20))
x = torch.randn(16, 1000) * 0.98 ** torch.arange(1000)  # a spectrum that decays, as a trained network's does
result = hessian_eigenvalues(model, x, torch.arange(16), k=100, tol=0.1)  # memory is the point here, not digits
assert result.converged.all()
# Not getrusage: the peak that it gives for a child process may be one that its parent had.
peak = int(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(sum(p.numel() for p in model.parameters()), peak * 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the peak memory from Linux's /proc")
def test_top_hundred_of_a_million_parameters_fit_in_two_gigabytes():
    done = subprocess.run([sys.executable, "-c", MILLION], capture_output=True, text=True, check=True)
    n_parameters, peak = map(int, done.stdout.split())
    assert n_parameters > 1_000_000
    basis = 150 * n_parameters * 4  # Lanczos vectors for k = 100, in single precision: the peak must contain them
    assert basis < peak < 2e9
