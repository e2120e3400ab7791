"""A checkpoint against the params: its sizes, and the layers that adapters are to have."""

from pathlib import Path

from selectimprove.config.messages import unknown_name
from selectimprove.config.stages import PretrainedStage
from selectimprove.config.training import ALL_LINEAR
from selectimprove.stages.pretrained.gguf import require_reader
from selectimprove.types import ParamsError


def check_architecture(source: Path, config: PretrainedStage) -> None:
    """Compare a checkpoint with ``model`` and with the layers in ``lora.target_modules``.

    No weights are read: the architecture is built without any.

    Raises
    ------
    ParamsError
        Naming the first thing that differs, with what would be right.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    if config.pretrained.gguf:
        require_reader(config.pretrained.gguf)
    read = {"gguf_file": config.pretrained.gguf} if config.pretrained.gguf else {}
    try:
        found = AutoConfig.from_pretrained(source, trust_remote_code=False, **read)
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(found, trust_remote_code=False)
    except (ValueError, KeyError) as error:
        reason = str(error).partition("\n")[0]
        raise ParamsError(
            f"pretrained: {source} is no causal language model that transformers knows: {reason}"
        ) from error
    _check_sizes(found.get_text_config(), config)
    if config.target_modules not in (None, ALL_LINEAR):
        _check_modules(model, config.target_modules)


def _check_sizes(found, config: PretrainedStage) -> None:
    # Some architectures leave out what has a usual value.
    sizes = {
        "hidden_size": ("hidden_size", None),
        "n_layers": ("num_hidden_layers", None),
        "n_heads": ("num_attention_heads", None),
        "n_kv_heads": ("num_key_value_heads", found.num_attention_heads),
        "intermediate_size": ("intermediate_size", 4 * found.hidden_size),
        "vocab_size": ("vocab_size", None),
    }
    right = {key: (name, getattr(found, name, None) or usual) for key, (name, usual) in sizes.items()}
    all_sizes = ", ".join(f"{key}: {size}" for key, (_, size) in right.items())
    for key, (name, size) in right.items():
        asked = getattr(config.model, key)
        if asked != size:
            raise ParamsError(f"model.{key}: {asked}, but the checkpoint's {name} is {size}; it has {{{all_sizes}}}")


def _check_modules(model, asked: list[str]) -> None:
    logits = model.get_output_embeddings()
    # Most architectures have torch's linear layers, GPT-2 its own.
    layers = {
        name.rpartition(".")[2]
        for name, module in model.named_modules()
        if type(module).__name__ in ("Linear", "Conv1D") and module is not logits
    }
    for module in asked:
        for mistake in unknown_name("lora.target_modules", module, sorted(layers)):
            raise ParamsError(f"{mistake}; {type(model).__name__} has {', '.join(sorted(layers))}")
