"""Which vector instructions torch calculates with.

With wider ones softmax sums are rounded otherwise, and after some thousand steps a model trained with them is another draw. So all
processors that have AVX2 calculate with AVX2, also those that have AVX-512. MKL is left alone: it runs the same kernels on
AMD's processors with both, and asking it for reproducible ones (``MKL_CBWR``) gives other sums, if rarely.
"""

import os
from pathlib import Path


def processor_info(key: str) -> str:
    """Return what Linux says of the first processor; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")


def pin_arithmetic() -> None:
    """Have torch calculate with AVX2 where the processor has it. What the environment says goes first.

    Torch looks when it first calculates, so this has to come before.
    """
    if "avx2" in processor_info("flags").split():
        os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")


def vector_instructions() -> str | None:
    """Name the vector instructions that torch uses; None where neither the environment nor the processor says."""
    flags = processor_info("flags").split()
    return os.environ.get("ATEN_CPU_CAPABILITY") or next(
        (name for name in ("avx512f", "avx2", "avx") if name in flags), None
    )
