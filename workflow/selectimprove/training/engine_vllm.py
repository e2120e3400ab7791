"""The engine of sampling for models that need a GPU: vLLM, in evaluation and in the rollouts of GRPO.

In evaluation it runs in this very process. vLLM's own default, a process beside it, begins to compute while requests
are still coming in, so what is batched together, and with it the last bits of a probability, is a matter of timing.
Here it is not, and the same seed gives the same completions. Every prompt has a seed of its own, so what it gets does
not depend on what the engine sampled before. Tokens come and go by the tokenizer that transformers loads, and weights
keep the type they are stored in: what differs between the two engines are kernels.

An engine takes long to start on a large model, so one that runs a base model with adapters goes on to the next adapter.

In rollouts the engine belongs to TRL, which hands it the new weights at each step. Here is only what TRL is told.
"""

import itertools
import json
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from transformers import AutoConfig, AutoTokenizer

from selectimprove.config.params import VllmSettings

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM can be told as the highest rank of its adapters."""

_ENVIRONMENT = {
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # Else the CPU build pins this process and changes its number of threads, which decides the order of torch's sums.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_NO_USAGE_STATS": "1",
}

_adapter_numbers = itertools.count(1)


def _prepare_environment() -> None:
    for variable, value in _ENVIRONMENT.items():
        os.environ.setdefault(variable, value)


def _max_rank(rank: int) -> int:
    allowed = [highest for highest in LORA_RANKS if rank <= highest]
    if not allowed:
        raise ValueError(f"vLLM takes adapters of rank {LORA_RANKS[-1]} at most, not {rank}")
    return allowed[0]


class _Engine:
    """The one engine of this process, started for some model and kept until another is needed."""

    running = None
    purpose: tuple | None = None

    @classmethod
    def start(cls, model: Path, max_lora_rank: int | None, settings: VllmSettings, seed: int):
        """Return a running `vllm.LLM` for `model`, the one that runs already where it fits."""
        purpose = (model.resolve(), max_lora_rank, settings)
        if cls.purpose == purpose:
            return cls.running
        cls.stop()
        _prepare_environment()
        from vllm import LLM

        adapters = {} if max_lora_rank is None else {"enable_lora": True, "max_lora_rank": max_lora_rank}
        cls.running = LLM(
            model=str(model),
            # Left to itself, vLLM rounds weights of 32 bits to 16.
            dtype=str(AutoConfig.from_pretrained(model).dtype).removeprefix("torch."),
            seed=seed,
            gpu_memory_utilization=settings.gpu_memory_utilization,
            tensor_parallel_size=settings.tensor_parallel,
            # Without a GPU, compiling takes longer than it saves.
            enforce_eager=not torch.cuda.is_available(),
            **adapters,
        )
        cls.purpose = purpose
        return cls.running

    @classmethod
    def stop(cls) -> None:
        """Free the engine and its memory."""
        if cls.running is None:
            return
        from vllm.distributed import cleanup_dist_env_and_memory

        cls.running.llm_engine.engine_core.shutdown()
        cls.running = cls.purpose = None
        cleanup_dist_env_and_memory()


class Sampler:
    """Samples completions from one checkpoint.

    Parameters
    ----------
    folder : Path
        A model as ``from_pretrained`` loads it, or a LoRA adapter as PEFT saves it.
    base : Path or None
        The model that the adapter belongs to; not looked at where `folder` is a whole model.
    settings : VllmSettings
        Of these, how much memory the engine takes and over how many GPUs it spreads. The mode is for rollouts:
        evaluation never asks a server.
    seed : int
        Of the engine. What `sample` draws depends on its own seed alone.
    """

    def __init__(self, folder: Path, base: Path | None, settings: VllmSettings, seed: int):
        adapter_config = folder / "adapter_config.json"
        max_rank, self.adapter = None, None
        model = folder
        if adapter_config.is_file():
            if base is None:
                raise ValueError(f"{folder} is an adapter; name the model that it belongs to")
            model, max_rank = base, _max_rank(json.loads(adapter_config.read_text())["r"])
        self.tokenizer = AutoTokenizer.from_pretrained(model)
        self.llm = _Engine.start(model, max_rank, settings, seed)
        if max_rank is None:
            return
        from vllm.lora.request import LoRARequest

        # The engine knows an adapter by its number and caches prompts by its name and path: never the same for two.
        number = next(_adapter_numbers)
        self.adapter = LoRARequest(f"{folder.name}-{number}", number, str(folder.resolve()))

    def sample(
        self, prompts: list[str], temperature: float, n_samples: int, max_new_tokens: int, seed: int
    ) -> list[list[str]]:
        """Sample completions.

        Parameters
        ----------
        prompts : list of str
        temperature : float
            At 0 all samples of a prompt are the one greedy completion.
        n_samples : int
            Completions per prompt.
        max_new_tokens : int
        seed : int
            Same seed, same machine: same completions. Equal prompts get completions of their own.

        Returns
        -------
        list of list of str
            `n_samples` completions for each prompt, special tokens left out.
        """
        from vllm import SamplingParams

        greedy = temperature == 0
        # vLLM seeds the samples of a prompt with consecutive numbers, so consecutive seeds of prompts would share them.
        seeds = [random.Random(f"{seed}/{position}").getrandbits(31) for position in range(len(prompts))]
        parameters = [
            SamplingParams(
                n=1 if greedy else n_samples,
                temperature=temperature,
                top_p=1.0,
                top_k=0,
                max_tokens=max_new_tokens,
                seed=prompt_seed,
                detokenize=False,
            )
            for prompt_seed in seeds
        ]
        # A prompt that is found in the cache is computed in another batch, and rounded otherwise, than one that is not.
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
        """Free the engine; one that runs a base model with adapters goes on running, for the next adapter.

        That one is freed when a sampler of another model is made, by `stop_engine`, or with the process.
        """
        # Memory is freed only when nothing refers to the engine.
        llm, self.llm = self.llm, None
        if self.adapter is not None:
            llm.llm_engine.remove_lora(self.adapter.lora_int_id)
            return
        del llm
        stop_engine()


def stop_engine() -> None:
    """Free the engine of this process, if one runs."""
    _Engine.stop()


def rollout_arguments(settings: VllmSettings) -> dict:
    """Return the arguments of TRL's `GRPOConfig` that have vLLM generate the rollouts.

    Parameters
    ----------
    settings : VllmSettings
        In the mode ``colocate`` the engine shares each GPU with the trainer. In the mode ``server`` it runs elsewhere
        and takes its share of memory, its GPUs and its seed from its own command line (`seed_rollouts`).
    """
    arguments = {
        "use_vllm": True,
        "vllm_mode": settings.mode,
        # The engine samples in 16 bits and by other kernels than those that compute the gradient, so a rollout is not
        # quite drawn from the policy that learns from it. The ratio of the two probabilities corrects for that.
        "vllm_importance_sampling_correction": True,
    }
    if settings.mode == "server":
        return arguments | {"vllm_server_host": settings.server_host, "vllm_server_port": settings.server_port}
    return arguments | {
        "vllm_gpu_memory_utilization": settings.gpu_memory_utilization,
        "vllm_tensor_parallel_size": settings.tensor_parallel,
    }


@contextmanager
def seed_rollouts(seed: int) -> Iterator[None]:
    """Seed the engine of every trainer that is made within.

    TRL seeds a colocated engine with the number of its group of processes, whatever the trainer's seed: every run would
    draw from the same numbers. Requests with seeds would not do, since TRL gives all requests the same, and a group's
    completions would all be one. So the engine's seed is replaced where TRL makes the engine; engines of one run still
    differ. What an engine draws comes from torch's generator in the trainer's process, which checkpoints keep.

    A server is seeded where it is started, and anew for each run, or a run would depend on what the server drew
    before::

        VLLM_SERVER_DEV_MODE=1 vllm serve MODEL --seed 101 --weight-transfer-config '{"backend": "nccl"}' \
            --logprobs-mode processed_logprobs --max-logprobs -1 --enable-scale-out
    """
    from trl.generation import vllm_generation

    _prepare_environment()
    engine = vllm_generation.LLM

    def seeded(*arguments, **options):
        number = options.pop("seed")
        return engine(*arguments, seed=random.Random(f"{seed}/{number}").getrandbits(31), **options)

    vllm_generation.LLM = seeded
    try:
        yield
    finally:
        vllm_generation.LLM = engine
