"""Models from scratch: a tiny Qwen2 and the word-level tokenizer of a task."""

from tokenizers import AddedToken
from transformers import Qwen2Config, Qwen2ForCausalLM, Qwen2Tokenizer

from selectimprove.config.params import Model


def build_tokenizer(vocabulary: list[str]) -> Qwen2Tokenizer:
    """Build the word-level tokenizer of a task: one token per word.

    `AutoTokenizer` loads any tokenizer that lies beside a Qwen2 model as a `Qwen2Tokenizer`, whose byte-pair rules would split
    ``e10``. Its added tokens come before those rules: here every word is one, with the space before it, and decoding
    gives back the exact text.
    """
    tokenizer = Qwen2Tokenizer(
        vocab={"<pad>": 0, "<eos>": 1, "<unk>": 2}, merges=[], pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    tokenizer.add_tokens([AddedToken(word, normalized=False) for word in vocabulary])
    return tokenizer


def build_model(model: Model, tokenizer: Qwen2Tokenizer) -> Qwen2ForCausalLM:
    """Initialise the model, with torch's global random state."""
    config = Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_hidden_layers=model.n_layers,
        num_attention_heads=model.n_heads,
        num_key_value_heads=model.n_kv_heads or model.n_heads,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=model.initializer_range,
        rope_parameters={"rope_type": "default", "rope_theta": model.rope_theta},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return Qwen2ForCausalLM(config)
