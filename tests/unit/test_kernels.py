"""The portable matrix products: right, differentiable, and the same bits on every processor."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from conftest import ROOT
from selectimprove.artifacts.arithmetic import has_avx2
from selectimprove.training.kernels import use_portable_kernels

BITS = ROOT / "tests/bits.py"
RECORDED = json.loads((ROOT / "tests/unit/bits.json").read_text())
pytestmark = pytest.mark.skipif(not has_avx2(), reason="this processor has no AVX2")
sizes = st.integers(0, 40)


@pytest.fixture(scope="module", autouse=True)
def overridden():
    use_portable_kernels()


def draw(*shape: int, dtype=torch.float32) -> torch.Tensor:
    return torch.rand(*shape, dtype=dtype) - 0.5


@settings(deadline=None)
@given(sizes, sizes, sizes, st.booleans(), st.booleans())
def test_products_are_those_of_64_bits_rounded(m, k, n, a_columns, b_columns):
    a, b, bias = (draw(k, m).t() if a_columns else draw(m, k)), (draw(n, k).t() if b_columns else draw(k, n)), draw(n)
    exact = a.double() @ b.double()
    assert_close(a @ b, exact.float())
    assert_close(torch.addmm(bias, a, b), (bias + exact).float())
    assert_close(torch.addmm(bias, a, b, beta=0.5, alpha=2), (0.5 * bias + 2 * exact).float())
    assert_close(torch.addmm(draw(m, n) * 0 + bias, a, b), (bias + exact).float())
    out = torch.empty(0)
    assert torch.mm(a, b, out=out) is out
    assert_close(out, exact.float())


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.int64])
def test_other_types_are_multiplied_as_before(dtype):
    a, b = (10 * draw(5, 7)).to(dtype), (10 * draw(7, 3)).to(dtype)
    expected = (a[:, :, None].double() * b.double()).sum(1)
    assert_close((a @ b).double(), expected, rtol=0.02, atol=0.5 if dtype is torch.bfloat16 else 1e-9)


def test_gradients_are_those_of_64_bits():
    layer, inputs = torch.nn.Linear(9, 4), draw(6, 9).requires_grad_()
    layer(inputs).square().sum().backward()
    exact = torch.nn.Linear(9, 4).double()
    exact.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
    wide = inputs.detach().double().requires_grad_()
    exact(wide).square().sum().backward()
    for found, right in ((inputs, wide), (layer.weight, exact.weight), (layer.bias, exact.bias)):
        assert_close(found.grad, right.grad.float())


def compute(*parts: str, before: tuple[str, ...] = ()) -> dict:
    words = [*before, sys.executable, str(BITS), *parts]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "workflow"), "HF_HUB_OFFLINE": "1"}
    return json.loads(subprocess.run(words, env=environment, capture_output=True, text=True, check=True).stdout)


def test_bits_are_those_recorded_on_another_processor():
    assert compute("products", "attention", "training") == RECORDED


@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="qemu is not installed")
def test_bits_are_the_same_on_an_emulated_processor_of_another_maker():
    found = compute("products", "attention", before=("qemu-x86_64", "-cpu", "EPYC-Rome"))
    assert found == {part: RECORDED[part] for part in ("products", "attention")}
