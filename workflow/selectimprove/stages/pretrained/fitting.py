"""Adapts a checkpoint so that stages can treat all models alike; a file is rewritten only where it has to be.

SFT ends each demonstration with the tokenizer's end of text, where RL and evaluation stop. All stages prompt with the
text that the chat template makes, and sample by temperature only. Checkpoints differ in all of this.
"""

import json
from pathlib import Path

from jinja2 import TemplateError

from selectimprove.errors import ParamsError
from selectimprove.training.policies import load_tokenizer, render_prompts

TODAY = "{% macro strftime_now(format) %}01 Jan 2025{% endmacro %}"
"""Put before a template that tells the date, so that a prompt is the same tomorrow."""
SYSTEM_IN_USER = (
    "{% if messages and messages[0]['role'] == 'system' %}{% set messages = [{'role': messages[1]['role'], 'content': "
    "messages[0]['content'] + '\n\n' + messages[1]['content']}] + messages[2:] %}{% endif %}"
)
"""Put before a template that takes no system prompt: it becomes the head of the question."""
SYSTEM, QUESTION, ANSWER = "Follow chain s1.", "start e1 end ?", "answer e1"
PLAIN = ("bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "use_cache")
"""Keys of ``generation_config.json`` that do not change how completions are sampled."""


def fit_ends(folder: Path) -> None:
    """Give the tokenizer the end of text that the model stops at, and padding, and drop recommended sampling.

    A tokenizer from a GGUF file may name another end than the model; one that ends every text would end prompts too.
    `generate` would combine recommended sampling with the temperature in the params.
    """
    tokenizer, ends = load_tokenizer(folder), _ends(folder)
    if tokenizer.eos_token is None and not ends:
        raise ParamsError("pretrained: the tokenizer has no end of text, which SFT teaches and sampling stops at")
    changed = bool(ends) and tokenizer.eos_token_id not in ends
    if changed:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(ends[0])
    first, *_, last = tokenizer("e1 e2")["input_ids"]
    if last == tokenizer.eos_token_id:
        tokenizer.add_bos_token, tokenizer.add_eos_token, changed = first == tokenizer.bos_token_id, False, True
    if tokenizer.pad_token is None:
        tokenizer.pad_token, changed = tokenizer.eos_token, True
    if changed:
        tokenizer.save_pretrained(folder)
    _write_generation(folder, tokenizer, ends)


def fit_chat(folder: Path) -> None:
    """Make the chat template show a system prompt, and take the end of its turns as the end of text."""
    tokenizer = load_tokenizer(folder)
    if tokenizer.chat_template is None:
        raise ParamsError("system_prompt: the pretrained model has no chat template; use an instruct model, or null")
    before = tokenizer.chat_template, tokenizer.eos_token
    if "strftime_now" in tokenizer.chat_template:
        tokenizer.chat_template = TODAY + tokenizer.chat_template
    if not _shows_system(tokenizer):
        tokenizer.chat_template = SYSTEM_IN_USER + tokenizer.chat_template
        if not _shows_system(tokenizer):
            raise ParamsError("system_prompt: the chat template of the pretrained model does not show it")
    end = _end_of_turn(tokenizer)
    if end is not None:
        tokenizer.eos_token = tokenizer.convert_ids_to_tokens(end)
    changed = before != (tokenizer.chat_template, tokenizer.eos_token)
    # Stages tokenize the template's text. If both template and tokenizer add a beginning, it would be there twice.
    (prompt,) = render_prompts(tokenizer, [QUESTION], SYSTEM)
    if tokenizer(prompt)["input_ids"][:2] == [tokenizer.bos_token_id] * 2:
        tokenizer.add_bos_token, changed = False, True
    if changed:
        tokenizer.save_pretrained(folder)
    _write_generation(folder, tokenizer, _ends(folder))


def fit_precision(folder: Path) -> None:
    """Have weights loaded in 32 bits: fine-tuning changes 16-bit weights by less than their rounding."""
    path = folder / "config.json"
    config = {name: value for name, value in json.loads(path.read_text()).items() if name != "torch_dtype"}
    path.write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n")


def _generation(folder: Path) -> dict:
    path = folder / "generation_config.json"
    return json.loads(path.read_text()) if path.is_file() else {}


def _ends(folder: Path) -> list[int]:
    """Return the tokens that the model stops at."""
    config = json.loads((folder / "config.json").read_text())
    named = (source.get("eos_token_id") for source in (_generation(folder), config))
    ends = next((ends for ends in named if ends is not None), [])
    return ends if isinstance(ends, list) else [ends]


def _write_generation(folder: Path, tokenizer, ends: list[int]) -> None:
    known = _generation(folder)
    right = {name: value for name, value in known.items() if name in PLAIN or name.startswith(("_", "output_"))}
    if tokenizer.eos_token_id not in ends:
        right["eos_token_id"] = [tokenizer.eos_token_id, *ends]
    if right.get("pad_token_id") is None:
        right["pad_token_id"] = tokenizer.pad_token_id
    if right != known:
        (folder / "generation_config.json").write_text(json.dumps(right, indent=2) + "\n")


def _shows_system(tokenizer) -> bool:
    try:
        (prompt,) = render_prompts(tokenizer, [QUESTION], SYSTEM)
    except TemplateError:
        return False
    return SYSTEM in prompt and QUESTION in prompt


def _end_of_turn(tokenizer) -> int | None:
    """Return the first special token after an answer; None if the template ends a turn without one."""
    messages = [
        {"role": "system", "content": SYSTEM},
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": ANSWER},
    ]
    after = tokenizer.apply_chat_template(messages, tokenize=False).rpartition(ANSWER)[2]
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    ids = tokenizer(after, add_special_tokens=False)["input_ids"]
    return next((number for number in ids if number in special), None)
