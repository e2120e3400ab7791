"""Checkpoints of the Hugging Face hub: how they are downloaded and checked, and what stands in for one without a download."""

import re
import time
from collections.abc import Callable
from pathlib import Path

from selectimprove.artifacts.provenance import file_hash
from selectimprove.config.params import Model, Pretrained
from selectimprove.training.policies import FILES
from selectimprove.types import ParamsError

OTHER_FILES = ("*/*", "consolidated*.safetensors")
"""The same weights once more, for other programs."""
ATTEMPTS = 5

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def retry(download: Callable, attempts: int = ATTEMPTS, wait: Callable = time.sleep):
    """Call until it succeeds, waiting twice as long each time; what was downloaded before is kept.

    Raises
    ------
    Exception
        What the last attempt raised.
    """
    for attempt in range(attempts):
        try:
            return download()
        except (OSError, RuntimeError) as error:
            # A wrong name or revision stays wrong.
            if attempt == attempts - 1 or "404" in str(error):
                raise
            wait(2**attempt)


def download(pretrained: Pretrained) -> Path:
    """Return the folder of the hub's cache that holds the checkpoint, downloaded if it is not there.

    Raises
    ------
    ParamsError
        If it is neither cached nor can be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.constants import HF_HUB_OFFLINE

    asked = {
        "repo_id": pretrained.repository,
        "revision": pretrained.revision,
        "allow_patterns": [pretrained.gguf] if pretrained.gguf else list(FILES),
        "ignore_patterns": list(OTHER_FILES),
        "endpoint": pretrained.mirror,
    }
    try:
        return Path(retry(lambda: snapshot_download(**asked), attempts=1 if HF_HUB_OFFLINE else ATTEMPTS))
    except (OSError, RuntimeError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise ParamsError(
            f"pretrained: {pretrained.repository} at {pretrained.revision[:8]} is not in the hub's cache and cannot be downloaded "
            f"({reason}); set pretrained.weights to a folder that holds it, or pretrained.mirror to a mirror of the hub"
        ) from error


def check_hashes(folder: Path, sha256: dict[str, str] | None) -> None:
    """Compare files with the hashes that are expected of them, and large ones with the name under which the hub's cache has them.

    Raises
    ------
    ParamsError
        Naming the first file that differs or is missing.
    """
    sha256 = sha256 or {}
    for name in sha256:
        if not (folder / name).is_file():
            raise ParamsError(f"pretrained.sha256: {folder} has no {name}")
    for path in sorted(folder.iterdir()):
        stored_as = path.resolve().name
        expected = sha256.get(path.name) or (stored_as if re.fullmatch(r"[0-9a-f]{64}", stored_as) else None)
        if expected and (found := file_hash(path)) != expected:
            raise ParamsError(
                f"pretrained.sha256: {path.name} hashes to {found}, not to {expected}; remove {path.resolve()}"
            )


def build_random(model: Model, folder: Path) -> None:
    """Write a Qwen2 with random weights, and a tokenizer of single bytes that knows the chat template."""
    import torch
    from tokenizers import AddedToken, pre_tokenizers
    from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

    torch.manual_seed(0)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*alphabet, *special])}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary, merges=[], pad_token=special[0], eos_token=special[2], unk_token=special[0]
    )
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in special], special_tokens=True)
    tokenizer.chat_template = CHAT_TEMPLATE
    config = Qwen2Config(
        vocab_size=model.vocab_size,
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.n_layers,
        num_attention_heads=model.n_heads,
        num_key_value_heads=model.n_kv_heads,
        max_position_embeddings=4096,
        tie_word_embeddings=True,
        initializer_range=model.initializer_range,
        rope_parameters={"rope_type": "default", "rope_theta": model.rope_theta},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    Qwen2ForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
