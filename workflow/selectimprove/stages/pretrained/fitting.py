"""What of a checkpoint is adapted so that every stage can treat every model alike.

SFT ends each demonstration with the tokenizer's end of text, RL and evaluation stop there, and all ask with a system prompt, in the text that the
chat template makes, and sample by temperature alone. Checkpoints differ in all of these. A file is rewritten only where it has to be.
"""

import json
from pathlib import Path

from selectimprove.types import ParamsError

TODAY = "{% macro strftime_now(format) %}01 Jan 2025{% endmacro %}"
"""Laid before a template that tells the date: the same prompt is to be the same tomorrow."""
SYSTEM_IN_USER = (
    "{% if messages and messages[0]['role'] == 'system' %}{% set messages = [{'role': messages[1]['role'], 'content': "
    "messages[0]['content'] + '\n\n' + messages[1]['content']}] + messages[2:] %}{% endif %}"
)
"""Laid before a template that takes no system prompt: it becomes the head of the question."""
SYSTEM, QUESTION, ANSWER = "Follow chain s1.", "start e1 end ?", "answer e1"
PLAIN = ("bos_token_id", "eos_token_id", "pad_token_id", "transformers_version", "use_cache")


def fit_ends(folder: Path) -> None:
    """Give the tokenizer the end of text that the model stops at, and padding, and drop what is recommended for sampling.

    A tokenizer read from a GGUF file may name another end than the model; one that ends all it is given would end prompts too; many have no
    padding, without which there are no batches. What ``generation_config.json`` recommends, `generate` would mix into the temperature that
    params ask for.

    Raises
    ------
    ParamsError
        If neither tokenizer nor model names an end.
    """
    tokenizer, ends = _load(folder), _ends(folder)
    if tokenizer.eos_token is None and not ends:
        raise ParamsError(
            f"pretrained: the tokenizer of {folder} has no end of text, which SFT teaches and sampling stops at"
        )
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
    """Make the chat template fit, and the end of text the one with which it ends a turn.

    Raises
    ------
    ParamsError
        If there is no chat template, or one that cannot be made to show a system prompt.
    """
    tokenizer = _load(folder)
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
    # Stages tokenize the template's text. One that begins it and a tokenizer that does would begin it twice.
    beginning = tokenizer(_render(tokenizer))["input_ids"][:2]
    if beginning == [tokenizer.bos_token_id] * 2:
        tokenizer.add_bos_token, changed = False, True
    if changed:
        tokenizer.save_pretrained(folder)
    _write_generation(folder, tokenizer, _ends(folder))


def fit_precision(folder: Path) -> None:
    """Have the weights loaded with 32 bits: at a learning rate of fine-tuning, changes of 16-bit weights are rounded away."""
    path = folder / "config.json"
    config = {name: value for name, value in json.loads(path.read_text()).items() if name != "torch_dtype"}
    path.write_text(json.dumps(config | {"dtype": "float32"}, indent=2) + "\n")


def _load(folder: Path):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


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


def _render(tokenizer, answer: str | None = None) -> str:
    messages = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": QUESTION}]
    messages += [{"role": "assistant", "content": answer}] if answer else []
    return tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer is None)


def _shows_system(tokenizer) -> bool:
    from jinja2 import TemplateError

    try:
        text = _render(tokenizer)
    except TemplateError:
        return False
    return SYSTEM in text and QUESTION in text


def _end_of_turn(tokenizer) -> int | None:
    """Return the first special token behind an answer; None where the template ends a turn without one."""
    behind = _render(tokenizer, ANSWER).rpartition(ANSWER)[2]
    special = {number for number, token in tokenizer.added_tokens_decoder.items() if token.special}
    ids = tokenizer(behind, add_special_tokens=False)["input_ids"]
    return next((number for number in ids if number in special), None)
