"""Memory that training takes on a GPU, estimated before anything starts.

Adam's moments, gradients and weights follow from the number of parameters; activations and logits from the tokens of one pass. The bytes a token
takes in a layer (16-bit, attention that keeps no scores, nothing recomputed) are counted from the tensors that the backward pass needs, and
were not measured: the estimate refuses what cannot fit, and does not promise that what passes does.
"""

from selectimprove.config.params import Lora, Model
from selectimprove.config.resolving import Case
from selectimprove.config.training import ALL_LINEAR
from selectimprove.tasks.interface import load_task

GIB = 2**30
CONTEXT_GIB = 1.5
"""What CUDA, its libraries and a fragmented allocator take."""
PROMPT_TOKENS, TOKENS_OF_A_STEP, ANSWER_TOKENS = 120, 22, 20
"""Of a pretrained model's tokenizer: the chat around a problem, a step in prompt and response together, and guess and answer."""


MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
"""Linear layers of a Qwen2, any of which an adapter may have; most architectures since have called them so."""


def count_parameters(model: Model) -> int:
    """Count the parameters of a Qwen2 with tied embeddings."""
    width = model.hidden_size
    keys = width // model.n_heads * (model.n_kv_heads or model.n_heads)
    attention = 2 * width * width + 2 * width * keys + width + 2 * keys
    layer = attention + 3 * width * model.intermediate_size + 2 * width
    return (model.vocab_size or 0) * width + model.n_layers * layer + width


def count_adapter_parameters(model: Model, lora: Lora) -> int:
    """Count the parameters of an adapter: a rank times the inputs and outputs of each module.

    A module of another name than a Qwen2 has is taken for one of the largest.
    """
    width, inner = model.hidden_size, model.intermediate_size
    keys = width // model.n_heads * (model.n_kv_heads or model.n_heads)
    shapes = {
        "q_proj": (width, width),
        "k_proj": (width, keys),
        "v_proj": (width, keys),
        "o_proj": (width, width),
        "gate_proj": (width, inner),
        "up_proj": (width, inner),
        "down_proj": (inner, width),
    }
    modules = shapes if lora.target_modules == ALL_LINEAR else lora.target_modules
    return model.n_layers * lora.rank * sum(sum(shapes.get(module, (width, inner))) for module in modules)


def training_memory(
    model: Model, lora: Lora | None, sequences: int, tokens: int, reference: bool, n_parameters: int | None = None
) -> float:
    """Estimate what one process of training takes on its GPU.

    Parameters
    ----------
    model : Model
    lora : Lora or None
    sequences : int
        Sequences of one pass.
    tokens : int
        Tokens of the longest.
    reference : bool
        Whether a frozen copy of what is trained is kept, as for the KL divergence of RL.
    n_parameters : int, optional
        Of the model, where it is no Qwen2.

    Returns
    -------
    float
        GiB.
    """
    n = n_parameters or count_parameters(model)
    trained = count_adapter_parameters(model, lora) if lora else n
    # Weights and gradients at 4 bytes, two moments at 4; a frozen model at 2.
    weights = trained * (16 + 4 * reference) + (2 * n if lora else 0)
    a_token = 2 * model.n_layers * (10 * model.hidden_size + 4 * model.intermediate_size)
    # Logits at 4 bytes, and their gradient.
    logits = 8 * (model.vocab_size or 0)
    return (weights + sequences * tokens * (a_token + logits)) / GIB + CONTEXT_GIB


def longest_sequence(n_steps: int) -> int:
    """Estimate the tokens of the longest problem with its response."""
    return PROMPT_TOKENS + TOKENS_OF_A_STEP * n_steps + ANSWER_TOKENS


def too_large(case: Case, rl_problems: list[str], gpu_gib: float) -> list[str]:
    """Find settings with which training cannot fit a GPU beside what vLLM takes of it.

    Parameters
    ----------
    case : Case
    rl_problems : list of str
        The distributions that RL runs on.
    gpu_gib : float
        Memory of one GPU, in GiB.

    Returns
    -------
    list of str
        A line for each mistake, beginning with its key.
    """
    params, section, settings = case.params, case.section, case.settings
    most_steps = load_task(case.task).most_steps
    vllm = params.sampling.vllm if params.sampling.engine == "vllm" else None
    share = vllm.gpu_memory_utilization if vllm and vllm.mode == "colocate" else 0.0
    sft_steps = most_steps(settings, section.sft_problems)
    rl_steps = max((most_steps(settings, section.rl_problems[name]) for name in rl_problems), default=sft_steps)
    checks = [
        ("sft", params.sft.device_batch_size or params.sft.batch_size, sft_steps, 0.0, False),
        (
            "rl",
            params.rl.device_batch_size or params.rl.prompts_per_step * params.rl.group_size,
            rl_steps,
            share,
            params.rl.beta > 0,
        ),
    ]
    mistakes = []
    for section, sequences, n_steps, taken, reference in checks:
        tokens = longest_sequence(n_steps)
        free = gpu_gib * (1 - taken)
        n_parameters = params.pretrained.n_parameters if params.pretrained else None
        needed = training_memory(params.model, params.lora, sequences, tokens, reference, n_parameters)
        if needed > free:
            beside = f" beside the {gpu_gib * taken:.0f} GiB of vLLM" if taken else ""
            mistakes.append(
                f"{section}.device_batch_size: {sequences} sequences of {tokens} tokens need about {needed:.0f} GiB, but a GPU of "
                f"{gpu_gib:.0f} GiB has {free:.0f}{beside}; use a smaller one"
            )
    return mistakes
