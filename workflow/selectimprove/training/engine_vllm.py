"""The sampling engine for models that need a GPU: vLLM, in evaluation and for rollouts.

In evaluation it runs in this process. vLLM's default is a second process that computes while requests still arrive, so
timing decides which requests share a batch, and with it the last bits of each probability. Each prompt has its own
seed, so its completions do not depend on earlier ones. Large models take long to load, so an engine that serves
adapters is kept for the next adapter.

In rollouts TRL owns the engine and gives it the new weights at each step; this module only provides TRL's arguments.
"""

import itertools
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import torch
from transformers import AutoConfig, AutoTokenizer

from selectimprove.config.sections import VllmSettings
from selectimprove.training.policies import is_adapter

# An engine reads these when it starts. By default the CPU build pins this process and changes its number of threads,
# which decides the order of torch's sums.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")

running: dict[tuple, object] = {}
"""The engine of this process under its model and settings; never more than one."""
_adapter_numbers = itertools.count(1)


def start_engine(model: Path, max_rank: int | None, settings: VllmSettings, seed: int):
    """Return a `vllm.LLM` for a model, or for adapters on it up to `max_rank`: the running one, or a new one."""
    purpose = (model.resolve(), max_rank, settings)
    if purpose not in running:
        stop_engine()
        from vllm import LLM

        running[purpose] = LLM(
            model=str(model),
            # By default vLLM rounds 32-bit weights to 16 bits.
            dtype=str(AutoConfig.from_pretrained(model).dtype).removeprefix("torch."),
            seed=seed,
            gpu_memory_utilization=settings.gpu_memory_utilization,
            tensor_parallel_size=settings.tensor_parallel,
            # Without a GPU, compiling takes longer than it saves.
            enforce_eager=not torch.cuda.is_available(),
            **({"enable_lora": True, "max_lora_rank": max_rank} if max_rank else {}),
        )
    return running[purpose]


def stop_engine() -> None:
    """Free the engine of this process, if one is running."""
    if running:
        from vllm.distributed import cleanup_dist_env_and_memory

        running.popitem()[1].llm_engine.engine_core.shutdown()
        cleanup_dist_env_and_memory()


class Sampler:
    """A checkpoint, or an adapter on `base`. What it samples does not depend on `seed`, the engine's own."""

    def __init__(self, checkpoint: Path, base: Path | None, settings: VllmSettings, seed: int):
        model, max_rank, self.adapter = checkpoint, None, None
        if is_adapter(checkpoint):
            if base is None:
                raise ValueError(f"{checkpoint} is an adapter; name the model that it belongs to")
            from vllm.config.lora import MaxLoRARanks
            from vllm.lora.request import LoRARequest

            rank = json.loads((checkpoint / "adapter_config.json").read_text())["r"]
            model, max_rank = base, min((most for most in get_args(MaxLoRARanks) if most >= rank), default=rank)
            # The engine tells adapters apart by number and caches prompts by name and path, so each gets its own.
            number = next(_adapter_numbers)
            self.adapter = LoRARequest(f"{checkpoint.name}-{number}", number, str(checkpoint.resolve()))
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.llm = start_engine(model, max_rank, settings, seed)

    def sample(
        self, prompts: list[str], temperature: float, n_samples: int, max_new_tokens: int, seed: int
    ) -> list[list[str]]:
        """Sample completions, as `selectimprove.training.sampling.Sampler` says."""
        from vllm import SamplingParams

        greedy = temperature == 0
        shared = {"top_p": 1.0, "top_k": 0, "max_tokens": max_new_tokens, "detokenize": False}
        shared |= {"temperature": temperature, "n": 1 if greedy else n_samples}
        # vLLM seeds the samples of a prompt consecutively, so prompts with consecutive seeds would share samples.
        seeds = [random.Random(f"{seed}/{position}").getrandbits(31) for position in range(len(prompts))]
        parameters = [SamplingParams(seed=prompt_seed, **shared) for prompt_seed in seeds]
        # A cached prompt is computed in another batch than a new one, and so rounded differently.
        self.llm.reset_prefix_cache()
        outputs = self.llm.generate(
            [{"prompt_token_ids": ids} for ids in self.tokenizer(prompts)["input_ids"]],
            parameters,
            lora_request=self.adapter,
            use_tqdm=False,
        )
        completions = [
            self.tokenizer.batch_decode([sample.token_ids for sample in output.outputs], skip_special_tokens=True)
            for output in outputs
        ]
        return [samples * n_samples for samples in completions] if greedy else completions

    def close(self) -> None:
        """Free the engine, unless it serves adapters: then it is kept for the next adapter."""
        # Memory is freed only when nothing refers to the engine.
        llm, self.llm = self.llm, None
        if self.adapter is not None:
            llm.llm_engine.remove_lora(self.adapter.lora_int_id)
            return
        del llm
        stop_engine()


def rollout_arguments(settings: VllmSettings) -> dict:
    """Return the arguments with which TRL's trainers use this engine for rollouts."""
    arguments = {
        "use_vllm": True,
        "vllm_mode": settings.mode,
        # The engine samples in 16 bits and with other kernels than those of the gradient, so a rollout is not drawn
        # from exactly the policy that learns from it. The ratio of the two probabilities corrects for that.
        "vllm_importance_sampling_correction": True,
    }
    # A server's command line sets its memory, GPUs and seed.
    if settings.mode == "server":
        return arguments | {"vllm_server_host": settings.server_host, "vllm_server_port": settings.server_port}
    return arguments | {
        "vllm_gpu_memory_utilization": settings.gpu_memory_utilization,
        "vllm_tensor_parallel_size": settings.tensor_parallel,
    }


@contextmanager
def seed_rollouts(seed: int) -> Iterator[None]:
    """Seed the engine of every trainer that is made in this context.

    TRL seeds a colocated engine with the number of its group of processes, so every run would draw the same numbers. It
    gives all requests the same seed, so seeds per request would make all completions of a group equal. So this context
    replaces the engine's seed where TRL makes the engine, which draws from torch's generator in the trainer's process;
    checkpoints save that generator.

    A server is seeded on its command line. Start it anew for each run, or the run depends on what it drew before::

        VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --seed 101 --weight-transfer-config '{"backend": "nccl"}' \
            --logprobs-mode processed_logprobs --max-logprobs -1 --enable-scale-out
    """
    from trl.generation import vllm_generation

    engine = vllm_generation.LLM

    def seeded(*arguments, **options):
        number = options.pop("seed")
        return engine(*arguments, seed=random.Random(f"{seed}/{number}").getrandbits(31), **options)

    vllm_generation.LLM = seeded
    try:
        yield
    finally:
        vllm_generation.LLM = engine
