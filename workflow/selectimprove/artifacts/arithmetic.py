"""Which vector instructions torch calculates with.

With other ones sums are rounded otherwise, and after some thousand steps a model trained with them is another draw. So all processors
that have AVX2 calculate softmax and the like with AVX2, also those that have AVX-512, and MKL multiplies matrices with the kernels that it
has for every x86 processor (``MKL_CBWR``), whoever made it: one seed gives one result. Those kernels take half as long again, or twice as long;
``arithmetic: fast`` in the params does without them, and without their promise.
"""

import os
from pathlib import Path


def processor_info(key: str) -> str:
    """Return what Linux says of the first processor; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")


MKL_CBWR = {"portable": "COMPATIBLE", "fast": "AUTO"}


def pin_arithmetic() -> None:
    """Have torch calculate with AVX2 where the processor has it, and MKL alike everywhere. What the environment says goes first.

    Both look when they first calculate, so this has to come before.
    """
    os.environ.setdefault("MKL_CBWR", MKL_CBWR["portable"])
    if "avx2" in processor_info("flags").split():
        os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")


def vector_instructions() -> str | None:
    """Name the vector instructions that torch uses; None where neither the environment nor the processor says."""
    flags = processor_info("flags").split()
    return os.environ.get("ATEN_CPU_CAPABILITY") or next(
        (name for name in ("avx512f", "avx2", "avx") if name in flags), None
    )
