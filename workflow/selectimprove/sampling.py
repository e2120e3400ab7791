"""Completions from a model: the one place that knows which engine generates them.

Two engines have a place here. ``transformers`` runs wherever torch does. ``vllm`` belongs beside it: a second branch of
`sample_completions` for evaluation, and its switches in `rollout_arguments`, through which TRL's own generation, with its
weight synchronisation, serves GRPO.
"""

import torch
from tqdm import tqdm
from transformers import PreTrainedModel, PreTrainedTokenizerBase

BATCH = 512
"""Completions generated at once by transformers; a matter of memory and speed only."""


def max_new_tokens(n_steps: int) -> int:
    """Bound the length of a completion: three tokens a step, and strategy, guess, first value, answer and end."""
    return 3 * n_steps + 8


def rollout_arguments(temperature: float, n_steps: int) -> dict:
    """Return the arguments of TRL's `GRPOConfig` that say how rollouts are generated.

    Parameters
    ----------
    temperature : float
    n_steps : int
        Most steps of any training problem.
    """
    return {
        "use_vllm": False,
        "temperature": temperature,
        "top_p": 1.0,
        "top_k": 0,
        "max_completion_length": max_new_tokens(n_steps),
    }


@torch.no_grad()
def sample_completions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[str],
    temperature: float,
    n_samples: int,
    n_steps: int,
    seed: int,
    progress: str | None = None,
) -> list[list[str]]:
    """Sample completions.

    Parameters
    ----------
    model, tokenizer
        As loaded by ``from_pretrained``.
    prompts : list of str
    temperature : float
    n_samples : int
        Completions a prompt.
    n_steps : int
        Most steps of any problem, which bounds the length.
    seed : int
        Same seed, same machine: same completions.
    progress : str, optional
        Name of a progress bar.

    Returns
    -------
    list of list of str
        `n_samples` completions for each prompt.
    """
    torch.manual_seed(seed)
    model.eval()
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i].split()))
    completions: list[list[str]] = [[] for _ in prompts]
    per_batch = max(1, BATCH // n_samples)
    for first in tqdm(range(0, len(prompts), per_batch), desc=progress, disable=progress is None):
        chosen = by_length[first : first + per_batch]
        batch = tokenizer([prompts[i] for i in chosen], return_tensors="pt", padding=True, padding_side="left")
        generated = model.generate(
            **batch.to(model.device),
            do_sample=True,
            temperature=temperature,
            top_k=0,
            top_p=1.0,
            num_return_sequences=n_samples,
            max_new_tokens=max_new_tokens(n_steps),
        )
        texts = tokenizer.batch_decode(generated[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
        for position, i in enumerate(chosen):
            completions[i] = texts[position * n_samples : (position + 1) * n_samples]
    return completions
