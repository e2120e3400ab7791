"""Qwen2 models with random weights, and the tokenizers that go with them."""

from tokenizers import AddedToken, pre_tokenizers
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from selectimprove.config.training import Model

CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def build_tokenizer(vocabulary: list[str]) -> Qwen2Tokenizer:
    """Build the word-level tokenizer of a task: one token per word.

    `AutoTokenizer` loads any tokenizer beside a Qwen2 model as a `Qwen2Tokenizer`, whose byte-pair rules would split
    ``e10``. Added tokens are matched before those rules, so every word is one, with the space before it.
    """
    tokenizer = Qwen2Tokenizer(
        vocab={"<pad>": 0, "<eos>": 1, "<unk>": 2}, merges=[], pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in vocabulary])
    return tokenizer


def build_byte_tokenizer() -> Qwen2Tokenizer:
    """Build a tokenizer of single bytes with Qwen2.5's special tokens and chat template."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: number for number, token in enumerate([*alphabet, *special])}
    tokenizer = Qwen2Tokenizer(
        vocab=vocabulary, merges=[], pad_token=special[0], eos_token=special[2], unk_token=special[0]
    )
    tokenizer.add_tokens([AddedToken(token, special=True, normalized=False) for token in special], special_tokens=True)
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_model(model: Model, tokenizer: Qwen2Tokenizer, vocab_size: int, n_positions: int) -> Qwen2ForCausalLM:
    """Initialise a model from torch's global random state."""
    config = Qwen2Config(
        vocab_size=vocab_size,
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.n_layers,
        num_attention_heads=model.n_heads,
        num_key_value_heads=model.n_kv_heads or model.n_heads,
        max_position_embeddings=n_positions,
        tie_word_embeddings=True,
        initializer_range=model.initializer_range,
        rope_parameters={"rope_type": "default", "rope_theta": model.rope_theta},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config)
