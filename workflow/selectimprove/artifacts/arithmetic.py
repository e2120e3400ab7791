"""The environment that results are computed in: instruction sets, and the variables that libraries read.

Different vector instructions round sums differently, and after some thousand steps a model trained with them is another
one. So torch and oneDNN use AVX2 on every processor that has it, and MKL its kernels for every x86 processor
(``MKL_CBWR``): one seed gives one result. `selectimprove.training.kernels` keeps that fast. ``arithmetic: fast`` lets
each library choose, without the promise. This module counts in the keys of all stages that compute with torch.
"""

import os
from pathlib import Path

MKL_CBWR = {"portable": "COMPATIBLE", "fast": "AUTO"}
DROPPED = (
    *("ACCELERATE_", "FSDP_", "MEGATRON_LM_", "PARALLELISM_CONFIG_"),
    *("TRL_", "TRANSFORMERS_", "USE_TF", "USE_TORCH", "USE_HUB_KERNELS", "XLA_"),
    *("TORCH_", "TORCHINDUCTOR_", "ATEN_", "MKL_", "KMP_", "ONEDNN_", "DNNL_", "NPY_", "OPENBLAS_CORETYPE"),
    *("NVIDIA_TF32_OVERRIDE", "CUBLAS_", "CUDNN_", "FLASH_ATTENTION_"),
)
"""How the variables begin that could change a number; a stage does not see them."""
KEPT = ("TORCH_HOME", "TORCH_NCCL_", "TRANSFORMERS_OFFLINE", "TRANSFORMERS_VERBOSITY")
LAUNCHED = ("ACCELERATE_", "FSDP_", "PARALLELISM_CONFIG_")
"""What ``accelerate launch`` tells the processes that it starts."""
RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")


def processor_info(key: str) -> str:
    """Return what Linux says of the first processor; empty elsewhere."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(key)), "")


def has_avx2() -> bool:
    """Tell whether the processor has AVX2."""
    return "avx2" in processor_info("flags").split()


def is_portable() -> bool:
    """Tell whether this process is to compute as every other processor with AVX2 does."""
    return has_avx2() and os.environ.get("MKL_CBWR") == MKL_CBWR["portable"]


def pin_arithmetic() -> None:
    """Pin torch to AVX2 and MKL to its common kernels, unless the environment says otherwise."""
    os.environ.setdefault("MKL_CBWR", MKL_CBWR["portable"])
    if has_avx2():
        os.environ.setdefault("ATEN_CPU_CAPABILITY", "avx2")
    if is_portable():
        os.environ.setdefault("ONEDNN_MAX_CPU_ISA", "AVX2")


def clean_environment(arithmetic: str = "portable") -> None:
    """Set the variables that change a stage's numbers, before libraries are imported and read them."""
    launched = "TORCHELASTIC_RUN_ID" in os.environ
    kept = KEPT + LAUNCHED * launched
    dropped = DROPPED + RANKS * (not launched)
    for name in [name for name in os.environ if name.startswith(dropped) and not name.startswith(kept)]:
        del os.environ[name]
    # With this, matrix products on a GPU are the same at every run.
    os.environ |= {"MKL_CBWR": MKL_CBWR[arithmetic], "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    pin_arithmetic()


def vector_instructions() -> str | None:
    """Name the vector instructions that torch uses; None where neither the environment nor the processor says."""
    flags = processor_info("flags").split()
    return os.environ.get("ATEN_CPU_CAPABILITY") or next(
        (name for name in ("avx512f", "avx2", "avx") if name in flags), None
    )
