"""Reading `params.yaml`: the overlay of the scale, the checks, and errors that a person can act on.

All mistakes are reported at once, one line each, as ``file: key: what is wrong and what would be right``.
"""

import difflib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import yaml
from pydantic import ValidationError

from selectimprove.config import Exhibit, Params, ParamsError, RlProblems
from selectimprove.memory import too_large
from selectimprove.problems import count_chains

SCALES = Path(__file__).parents[1] / "scales"
NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def notebook_of(name: str, exhibit: Exhibit) -> Path:
    """Return the notebook that draws an exhibit: its own, or that of the one it names."""
    return NOTEBOOKS / f"{exhibit.notebook or name}.ipynb"


def read_yaml(path: Path) -> dict:
    """Read a YAML file that holds a mapping.

    Raises
    ------
    ParamsError
        If there is no such file, it is not YAML, or not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise ParamsError(f"{path.name}: no such file") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        raise ParamsError(f"{path.name}: {line}not YAML: {getattr(error, 'problem', error)}") from None
    if not isinstance(content, dict):
        raise ParamsError(f"{path.name}: expected keys with values, found {type(content).__name__}")
    return content


def merge(below: dict, above: dict) -> dict:
    """Lay one nested mapping over another; lists and values are replaced whole."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def load_params(path: Path, overrides: dict | None = None) -> Params:
    """Read, overlay and check the params.

    Parameters
    ----------
    path : Path
        ``params.yaml``; the values of the laptop scale.
    overrides : dict, optional
        Laid over everything, as from ``snakemake --config``.

    Returns
    -------
    Params

    Raises
    ------
    ParamsError
        With all mistakes, one line each.
    """
    values = merge(read_yaml(path), overrides or {})
    scale = values.get("scale")
    scales = {"laptop": None} | {file.stem: file for file in sorted(SCALES.glob("*.yaml"))}
    if scale not in scales:
        raise ParamsError(f"{path.name}: scale: '{scale}' is unknown; use one of {', '.join(scales)}")
    source = path.name
    if scales[scale]:
        source = f"{path.name} with {scales[scale].name}"
        values = merge(merge(read_yaml(path), _read_overlay(scales[scale])), overrides or {})
    try:
        params = Params.model_validate(values)
    except ValidationError as error:
        raise ParamsError("\n".join(f"{source}: {line}" for line in _describe_all(error.errors()))) from None
    mistakes = [f"{source}: {mistake}" for mistake in _contradictions(params)]
    if mistakes:
        raise ParamsError("\n".join(mistakes))
    return params


def _read_overlay(path: Path) -> dict:
    """Read what a scale changes, laid over that of the scale that it extends."""
    overlay = read_yaml(path)
    below = overlay.pop("extends", None)
    return merge(_read_overlay(SCALES / f"{below}.yaml"), overlay) if below else overlay


def _describe_all(mistakes: list[dict]) -> list[str]:
    lines, explained = [], set()
    for mistake in mistakes:
        if mistake["type"] == "extra_forbidden":
            known = _keys_beside(mistake["loc"])
            close = difflib.get_close_matches(str(mistake["loc"][-1]), known, n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"known here: {', '.join(known)}"
            lines.append(f"{_key(mistake)}: unknown key; {hint}")
            explained.update((*mistake["loc"][:-1], name) for name in close)
    for mistake in mistakes:
        # A misspelt key is also a missing one; once is enough.
        if mistake["type"] == "extra_forbidden" or (mistake["type"] == "missing" and mistake["loc"] in explained):
            continue
        message = mistake["msg"].removeprefix("Value error, ")
        given = "" if mistake["type"] in ("missing", "value_error") else f", not {mistake['input']!r}"
        lines.append(f"{_key(mistake)}: {message[0].lower()}{message[1:]}{given}")
    return lines


def _key(mistake: dict) -> str:
    return ".".join(str(part) for part in mistake["loc"] if part != "[key]")


def _keys_beside(location: tuple) -> list[str]:
    """List the keys that are known where a key was found."""
    annotation = Params
    for part in location[:-1]:
        field = getattr(annotation, "model_fields", {}).get(part)
        inner = field.annotation if field else annotation
        # Below a mapping such as `experiments`, any name leads to the mapping's value type.
        annotation = inner.__args__[1] if getattr(inner, "__origin__", None) is dict and field is None else inner
    return list(getattr(annotation, "model_fields", Params.model_fields))


def _unknown(key: str, name: str, known) -> list[str]:
    if name in known:
        return []
    close = difflib.get_close_matches(name, list(known), n=1)
    return [
        f"{key}: '{name}' is unknown; " + (f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(known)}")
    ]


def resolve_params(params: Params, experiment: str, variant: str | None = None) -> Params:
    """Lay an experiment's overrides, and those of one of its variants, over the params.

    Parameters
    ----------
    params : Params
    experiment : str
        A key of ``experiments`` or ``compositions``.
    variant : str, optional

    Returns
    -------
    Params

    Raises
    ------
    pydantic.ValidationError
        If the result is not valid.
    """
    entry = {**params.experiments, **params.compositions}[experiment]
    overrides = merge(entry.overrides, entry.variants[variant] if variant else {})
    return Params.model_validate(merge(params.model_dump(), overrides)) if overrides else params


def _contradictions(params: Params) -> list[str]:
    mistakes = _names(params)
    if mistakes:
        return mistakes
    mistakes = _values(params, list(params.rl_problems))
    everywhere = {line.partition(":")[0] for line in mistakes}
    for name, experiment in params.experiments.items():
        cases = {None: "overrides"} | {variant: f"variants.{variant}" for variant in experiment.variants}
        check = partial(_values, rl_problems=experiment.rl_problems)
        mistakes += _overridden(params, f"experiments.{name}", name, cases, check, everywhere)
    for name in params.compositions:
        check = partial(_compositions, name=name)
        mistakes += _overridden(params, f"compositions.{name}", name, {None: "overrides"}, check, everywhere)
    return mistakes


def _overridden(
    params: Params,
    place: str,
    name: str,
    cases: dict[str | None, str],
    check: Callable[[Params], list[str]],
    everywhere: set[str],
) -> list[str]:
    """Find what an experiment's overrides, and those of its variants, make wrong; what is wrong without them is said already."""
    mistakes, said = [], set(everywhere)
    for variant, key in cases.items():
        try:
            found = check(resolve_params(params, name, variant))
        except ValidationError as error:
            mistakes += [f"{place}.{key}.{line}" for line in _describe_all(error.errors())]
            if variant is None:
                break
            continue
        new = [line for line in found if line.partition(":")[0] not in said]
        mistakes += [line if line.startswith(place) else f"{place}.{key}: {line}" for line in new]
        said |= {line.partition(":")[0] for line in new}
    return mistakes


def _names(params: Params) -> list[str]:
    mistakes = []
    for name, experiment in params.experiments.items():
        for mix in experiment.sft_mixes:
            mistakes += _unknown(f"experiments.{name}.sft_mixes", mix, params.sft_mixes)
        for problems in experiment.rl_problems:
            mistakes += _unknown(f"experiments.{name}.rl_problems", problems, params.rl_problems)
    for kind, exhibits in (("figures", params.figures), ("tables", params.tables)):
        for name, exhibit in exhibits.items():
            known = {**params.experiments, **params.compositions}
            mistakes += _unknown(f"{kind}.{name}.experiment", exhibit.experiment, known)
            notebook = notebook_of(name, exhibit)
            if not notebook.is_file():
                mistakes.append(
                    f"{kind}.{name}: there is no workflow/notebooks/{notebook.name}; add it or remove the entry"
                )
    for name in params.compositions.keys() & params.experiments.keys():
        mistakes.append(f"compositions.{name}: an experiment has that name too; choose another")
    if "sft" in params.rl_problems:
        mistakes.append("rl_problems.sft: 'sft' names the models before RL; choose another name")
    return mistakes


def _values(params: Params, rl_problems: list[str]) -> list[str]:
    """Find values that contradict one another, on the RL problems named."""
    mistakes = []
    if params.model.hidden_size % params.model.n_heads:
        mistakes.append(
            f"model.n_heads: {params.model.n_heads} heads do not divide hidden_size {params.model.hidden_size}"
        )
    if params.rl.prompts_per_step > params.rl.n_prompts:
        mistakes.append(
            f"rl.prompts_per_step: {params.rl.prompts_per_step} is more than n_prompts {params.rl.n_prompts}"
        )
    mistakes += _batches(params)
    if params.resources.gpu_memory_gib:
        mistakes += too_large(params, rl_problems, params.resources.gpu_memory_gib)
    if params.sampling.engine == "vllm" and params.sampling.vllm is None:
        mistakes.append("sampling.vllm: missing; the engine vllm needs its settings, as in workflow/scales/paper.yaml")
    if params.pretrained and (params.model.n_kv_heads is None or params.model.vocab_size is None):
        mistakes.append("model: a pretrained model needs n_kv_heads and vocab_size too, as in its config.json")
    asked = {name: params.rl_problems[name] for name in rl_problems}
    return mistakes + _lengths(params, asked) + _capacities(params, asked)


def _batches(params: Params) -> list[str]:
    """Find batches that do not spread evenly over a job's GPUs and the passes of each."""
    gpus = max(params.resources.train.gpus, 1)
    mistakes = []
    for section, size, device_size in (
        ("sft", params.sft.batch_size, params.sft.device_batch_size),
        ("rl", params.rl.prompts_per_step * params.rl.group_size, params.rl.device_batch_size),
    ):
        share, rest = divmod(size, gpus)
        if rest:
            mistakes.append(f"resources.train.gpus: {gpus} do not divide the {size} sequences of a step of {section}")
        elif share % min(device_size or share, share):
            mistakes.append(
                f"{section}.device_batch_size: {device_size} does not divide the {share} sequences that a step has for each device"
            )
    return mistakes


def _compositions(params: Params, name: str) -> list[str]:
    """Find values that contradict one another, compositions that have more labels than the ring, and too many of them asked for."""
    experiment, task = params.compositions[name], params.task
    most = experiment.part_steps[1]
    asked = [
        (f"sft_parts.{key}", "sft_train", params.sft.n_train, parts) for key, parts in experiment.sft_parts.items()
    ]
    asked += [(f"rl_parts.{key}", "rl", params.rl.n_prompts, parts) for key, parts in experiment.rl_parts.items()]
    asked += [("test_parts", "test", experiment.n_problems, experiment.test_parts)]
    mistakes = _values(params, [])
    for key, split, n_problems, parts in asked:
        labels = parts[1] * (most + 1)
        if labels > task.ring_size:
            mistakes.append(
                f"compositions.{name}.{key}: {parts[1]} parts of {most} steps need {labels} labels, one a part and one a "
                f"step, but task.ring_size is {task.ring_size}"
            )
        wanted = -(-n_problems // (parts[1] - parts[0] + 1))
        # Either type of part, for each chain of its steps.
        exist = (2 * count_chains(task.field_order, most) / task.field_order) ** parts[0] * task.field_order
        # They are drawn until enough are distinct, which takes long where nearly all are wanted.
        if wanted > 0.75 * exist * task.split_shares[split]:
            mistakes.append(
                f"compositions.{name}.{key}: asks for {wanted} problems of {parts[0]} parts, more than three quarters of what "
                f"split '{split}' of GF({task.field_order}) holds; ask for fewer, or for more parts or steps"
            )
    return mistakes


def _lengths(params: Params, rl_problems: dict[str, RlProblems]) -> list[str]:
    most = {
        "base.max_chain_steps": params.base.max_chain_steps,
        "sft.steps": params.sft.steps[1],
        "evaluation.step_ranges": max(steps[1] for steps in params.evaluation.step_ranges),
    } | {f"rl_problems.{name}.steps": problems.steps[1] for name, problems in rl_problems.items()}
    ring = params.task.ring_size
    return [
        f"{key}: {n} steps need as many labels, but task.ring_size is {ring}" for key, n in most.items() if n > ring
    ]


def _capacities(params: Params, rl_problems: dict[str, RlProblems]) -> list[str]:
    """Compare what is asked of each split with what it holds, for the number of steps with the fewest chains."""
    asked = [
        ("sft.n_train", "sft_train", params.sft.n_train, params.sft.steps),
        ("sft.n_validation", "sft_validation", params.sft.n_validation, params.sft.steps),
    ]
    asked += [("rl.n_prompts", "rl", params.rl.n_prompts, problems.steps) for problems in rl_problems.values()]
    asked += [
        ("evaluation.n_problems", "test", params.evaluation.n_problems, steps)
        for steps in params.evaluation.step_ranges
    ]
    order = params.task.field_order
    mistakes = []
    for key, split, n_problems, steps in asked:
        wanted = -(-n_problems // (steps[1] - steps[0] + 1))
        exist = int(count_chains(order, steps[0]) * params.task.split_shares[split])
        if wanted > exist:
            mistakes.append(
                f"{key}: asks for {wanted} problems of {steps[0]} steps, but about {exist} exist in split '{split}' "
                f"of GF({order}); ask for fewer, or for more steps"
            )
    return mistakes
