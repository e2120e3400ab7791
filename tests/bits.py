"""Print hashes of what this processor computes, to compare with tests/unit/bits.json or with another processor::

    python tests/bits.py products attention training > tests/unit/bits.json
    qemu-x86_64 -cpu EPYC-Rome $(command -v python3) tests/bits.py products attention training --steps 10

`training` is a base model, SFT and GRPO at the smoke scale, `--steps` optimiser steps of each.
"""

import argparse
import contextlib
import hashlib
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "workflow"))
from selectimprove.artifacts.arithmetic import clean_environment  # noqa: E402

clean_environment()

import torch  # noqa: E402

from selectimprove.training.kernels import use_portable_kernels  # noqa: E402

SHAPES = [
    (7, 64, 100),
    (128, 64, 64),
    (300, 64, 192),
    (301, 192, 64),
    (64, 1203, 192),
    (192, 5000, 64),
    (33, 20000, 17),
]


def digest(*tensors: torch.Tensor) -> str:
    content = b"".join(tensor.detach().contiguous().numpy().tobytes() for tensor in tensors)
    return hashlib.sha256(content).hexdigest()[:16]


def products() -> Iterator[tuple[str, str]]:
    """Hash products, with every transposition, and those of a linear layer's gradients."""
    torch.manual_seed(0)
    for m, k, n in SHAPES:
        a, b = torch.rand(m, k) - 0.5, torch.rand(k, n) - 0.5
        a_columns, b_columns = a.t().contiguous().t(), b.t().contiguous().t()
        yield f"{m} × {k} × {n}", digest(a @ b, a_columns @ b, a @ b_columns, a_columns @ b_columns)
    layer, inputs = torch.nn.Linear(64, 192), torch.rand(9, 57, 64).requires_grad_()
    outputs = layer(inputs)
    outputs.square().sum().backward()
    yield "linear layer", digest(outputs, inputs.grad, layer.weight.grad, layer.bias.grad)


def attention() -> Iterator[tuple[str, str]]:
    """Hash attention and its gradient, causal and with padding on the left."""
    torch.manual_seed(0)
    mask = torch.ones(37, 37, dtype=torch.bool).tril().expand(8, 1, 37, 37).clone()
    mask[:, :, 5:, :3] = False
    for name, options in {"causal": {"is_causal": True}, "padded": {"attn_mask": mask}}.items():
        q, k, v = (torch.rand(8, 4, 37, 16).requires_grad_() for _ in range(3))
        outputs = torch.nn.functional.scaled_dot_product_attention(q, k, v, **options)
        outputs.square().sum().backward()
        yield name, digest(outputs, q.grad, k.grad, v.grad)


def training(n_steps: int) -> Iterator[tuple[str, str]]:
    """Hash the weights after some steps of pretraining, SFT and GRPO."""
    from selectimprove.config.loading import load_params
    from selectimprove.config.stages import Run
    from selectimprove.dag.plan import Plan
    from selectimprove.stages import base, demonstrations, problems, rl, sft

    short = {"n_steps": n_steps, "warmup_steps": 1}
    sections = {"base": short, "rl": short | {"checkpoint_every": n_steps}, "sft": {"n_train": 16 * n_steps}}
    plan = Plan(load_params(ROOT / "params.yaml", {"scale": "smoke", **sections}))
    stages = {
        "problems": problems.generate_problems,
        "demonstrations": demonstrations.write_demonstrations,
        "base": base.pretrain_base,
        "sft": sft.train_sft,
        "rl": rl.train_grpo,
    }
    made = {}
    with tempfile.TemporaryDirectory() as folder:

        def make(artifact) -> Path:
            if artifact.name not in made:
                inputs = {role: make(source) for role, source in artifact.inputs.items()}
                made[artifact.name] = Path(folder, artifact.stage, artifact.name)
                made[artifact.name].mkdir(parents=True)
                stages[artifact.stage](artifact.config, inputs, made[artifact.name])
            return made[artifact.name]

        # A model that was trained for so few steps earns no reward for its answers, and then there is no gradient.
        run = Run(variant="random_reward", sft="FB", training="rl_6_9", seed=plan.params.seeds[0])
        make(plan.policy(plan.cases["controls"][run.variant], run))
        for stage in ("base", "sft", "rl"):
            for weights in sorted(Path(folder, stage).rglob("*.safetensors")):
                yield f"{stage}, {weights.parent.name}", hashlib.sha256(weights.read_bytes()).hexdigest()[:16]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=["products", "attention", "training"])
    parser.add_argument("--steps", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(1)
    use_portable_kernels()
    hash_part = {"products": products, "attention": attention, "training": lambda: training(options.steps)}
    with contextlib.redirect_stdout(sys.stderr):
        hashes = {part: dict(hash_part[part]()) for part in options.parts}
    print(json.dumps(hashes, indent=1, ensure_ascii=False))
