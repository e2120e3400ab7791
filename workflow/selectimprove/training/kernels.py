"""Matrix products that are fast on CPUs and have the same bits on every x86 processor with AVX2.

torch multiplies 32-bit matrices with MKL. MKL's fast kernels depend on the maker of the processor; its common ones
(``MKL_CBWR=COMPATIBLE``) are the same everywhere but use no AVX. torch also carries oneDNN, which chooses kernels by
instruction set alone: held to AVX2 (``ONEDNN_MAX_CPU_ISA``, set by `selectimprove.artifacts.arithmetic`), they are the
same everywhere and about twice as fast as the common ones.

`use_portable_kernels` sends `aten::mm`, `mm.out` and `addmm` there, which linear layers and their gradients use. The
rest, such as attention's small products, keeps MKL's common kernels. tests/unit/test_kernels.py compares bits.
"""

import warnings
from functools import cache

import torch
from torch.library import Library, get_kernel

OVERRIDDEN = ("mm", "mm.out", "addmm")


@cache
def use_portable_kernels() -> Library:
    """Override torch's 32-bit matrix products on CPUs, for the rest of this process."""
    linear = torch.ops.mkldnn._linear_pointwise.default
    mkl = {name: get_kernel(f"aten::{name}", "CPU") for name in OVERRIDDEN}

    def suit(*tensors: torch.Tensor) -> bool:
        return all(tensor.dtype is torch.float32 and tensor.numel() for tensor in tensors)

    def multiply(a: torch.Tensor, b: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return linear(a, b.t(), bias, "none", [], "")

    def mm(keys, a, b):
        return multiply(a, b) if suit(a, b) else mkl["mm"].call_boxed(keys, a, b)

    def mm_out(keys, a, b, *, out):
        if not suit(a, b) or out.dtype is not torch.float32:
            return mkl["mm.out"].call_boxed(keys, a, b, out=out)
        return out.resize_(len(a), b.shape[1]).copy_(multiply(a, b))

    def addmm(keys, bias, a, b, *, beta=1, alpha=1):
        if suit(bias, a, b) and bias.dim() == beta == alpha == 1:
            return multiply(a, b, bias)
        return mkl["addmm"].call_boxed(keys, bias, a, b, beta=beta, alpha=alpha)

    library = Library("aten", "IMPL")
    with warnings.catch_warnings():
        # torch warns of every override.
        warnings.simplefilter("ignore")
        for name, kernel in zip(OVERRIDDEN, (mm, mm_out, addmm), strict=True):
            library.impl(name, kernel, "CPU", with_keyset=True, allow_override=True)
    return library
