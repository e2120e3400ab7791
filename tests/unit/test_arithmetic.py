"""All processors with AVX2 calculate with it, so that another machine makes the same models."""

import os
import subprocess
import sys

import pytest

from selectimprove.artifacts.arithmetic import processor_info

SHOW = "import os; import selectimprove.artifacts.provenance as provenance, torch; print(torch.backends.cpu.get_cpu_capability(), provenance.vector_instructions(), os.environ['MKL_CBWR'])"


def show_capability(**environment: str) -> list[str]:
    kept = {name: value for name, value in os.environ.items() if name not in ("ATEN_CPU_CAPABILITY", "MKL_CBWR")}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], env=kept | environment, capture_output=True, text=True, check=True
    )
    return done.stdout.split()


@pytest.mark.skipif("avx2" not in processor_info("flags").split(), reason="this processor has no AVX2")
def test_torch_calculates_with_avx2_and_the_record_says_so():
    assert show_capability() == ["AVX2", "avx2", "COMPATIBLE"]


def test_what_the_environment_says_goes_first():
    assert show_capability(ATEN_CPU_CAPABILITY="default", MKL_CBWR="AVX2") == ["DEFAULT", "default", "AVX2"]
