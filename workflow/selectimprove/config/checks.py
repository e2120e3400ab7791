"""What must hold between the values of `params.yaml`; a line per contradiction, beginning with its key."""

from collections.abc import Iterator

from pydantic import ValidationError

from selectimprove.config.memory import too_large
from selectimprove.config.messages import describe_all, unknown_name
from selectimprove.config.params import NO_SFT, Params
from selectimprove.config.resolving import Case, notebook_of, resolve_case
from selectimprove.tasks.interface import Problems, load_aspect


def find_contradictions(params: Params) -> list[str]:
    """Find what is wrong in the params, then what an experiment's overrides make wrong."""
    mistakes = _names(params)
    if mistakes:
        return mistakes
    mistakes = _values(params)
    for task in type(params.tasks).model_fields:
        case = Case(params, task)
        mistakes += _of_task(case, list(case.section.rl_problems))
    mistakes = list(dict.fromkeys(mistakes))
    everywhere = {line.partition(":")[0] for line in mistakes}
    for name in params.experiments:
        mistakes += _overridden(params, name, everywhere)
    return mistakes


def _overridden(params: Params, name: str, everywhere: set[str]) -> list[str]:
    """Find what an experiment's overrides, and those of its variants, make wrong; what is wrong without them is said already."""
    experiment, place = params.experiments[name], f"experiments.{name}"
    mistakes, said = [], set(everywhere)
    for variant in (None, *experiment.variants):
        key = f"{place}.variants.{variant}" if variant else f"{place}.overrides"
        try:
            case = resolve_case(params, name, variant)
        except ValidationError as error:
            own = f"tasks.{experiment.task}."
            lines = [line.replace(own, "task.", 1) for line in describe_all(error.errors())]
            mistakes += [f"{key}.{line}" for line in lines]
            if variant is None:
                break
            continue
        found = _values(case.params) + _of_task(case, experiment.rl_problems)
        new = [line for line in dict.fromkeys(found) if line.partition(":")[0] not in said]
        mistakes += [f"{key}: {line}" for line in new]
        said |= {line.partition(":")[0] for line in new}
    return mistakes


def _names(params: Params) -> list[str]:
    mistakes = []
    for name, experiment in params.experiments.items():
        unknown = unknown_name(f"experiments.{name}.task", experiment.task, type(params.tasks).model_fields)
        mistakes += unknown
        if unknown:
            continue
        section = getattr(params.tasks, experiment.task)
        for mix in experiment.sft_mixes:
            mistakes += unknown_name(f"experiments.{name}.sft_mixes", mix, (*section.sft_mixes, NO_SFT))
        for problems in experiment.rl_problems:
            mistakes += unknown_name(f"experiments.{name}.rl_problems", problems, section.rl_problems)
    for kind, exhibits in (("figures", params.figures), ("tables", params.tables)):
        for name, exhibit in exhibits.items():
            mistakes += unknown_name(f"{kind}.{name}.experiment", exhibit.experiment, params.experiments)
            if exhibit.claims:
                mistakes += unknown_name(f"{kind}.{name}.claims", exhibit.claims, params.experiments)
            notebook = notebook_of(name, exhibit)
            if not notebook.is_file():
                mistakes.append(
                    f"{kind}.{name}: there is no workflow/notebooks/{notebook.name}; add it or remove the entry"
                )
    for task in type(params.tasks).model_fields:
        section = getattr(params.tasks, task)
        if NO_SFT in section.sft_mixes:
            mistakes.append(
                f"tasks.{task}.sft_mixes.{NO_SFT}: '{NO_SFT}' names the base model without SFT; choose another name"
            )
        if "sft" in section.rl_problems:
            mistakes.append(f"tasks.{task}.rl_problems.sft: 'sft' names the models before RL; choose another name")
        for key, other in (
            ("extends", section.extends),
            ("continued.after", section.continued and section.continued.after),
        ):
            if other:
                mistakes += unknown_name(f"tasks.{task}.{key}", other, type(params.tasks).model_fields)
    return mistakes


def _values(params: Params) -> list[str]:
    """Find values that contradict one another, whatever the task."""
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
    mistakes += [
        f"experiments.{name}.sft_mixes: '{NO_SFT}' needs `lora: null`: an adapter is made by SFT"
        for name, experiment in params.experiments.items()
        if params.lora and NO_SFT in experiment.sft_mixes
    ]
    if params.sampling.engine == "vllm" and params.sampling.vllm is None:
        mistakes.append("sampling.vllm: missing; the engine vllm needs its settings, as in workflow/scales/paper.yaml")
    if params.pretrained and (params.model.n_kv_heads is None or params.model.vocab_size is None):
        mistakes.append("model: a pretrained model needs n_kv_heads and vocab_size too, as in its config.json")
    return mistakes


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


def _asked(case: Case, rl_problems: list[str]) -> Iterator[tuple[str, Problems, str, int, str]]:
    """List the sets of problems: the key of their distribution, it, the key and the number of problems, and the split."""
    params, section = case.params, case.section
    distributions = {"sft_problems": section.sft_problems}
    distributions |= {
        f"sft_mixes.{name}.problems": mix.problems for name, mix in section.sft_mixes.items() if mix.problems
    }
    for key, problems in distributions.items():
        yield key, problems, "sft.n_train", params.sft.n_train, "sft_train"
        yield key, problems, "sft.n_validation", params.sft.n_validation, "sft_validation"
    for name in rl_problems:
        yield f"rl_problems.{name}", section.rl_problems[name], "rl.n_prompts", params.rl.n_prompts, "rl"
    for name, problems in section.test_problems.items():
        yield f"test_problems.{name}", problems, "evaluation.n_problems", params.evaluation.n_problems, "test"


def _of_task(case: Case, rl_problems: list[str]) -> list[str]:
    """Find what the task finds wrong in its problems and documents, and what does not fit a GPU."""
    settings, place = case.settings, f"tasks.{case.task}"
    documents = load_aspect(case.task, "documents").find_mistakes(settings, case.section.documents)
    mistakes = [f"{place}.documents.{field}: {what}" for field, what in documents]
    find = load_aspect(case.task, "problems").find_mistakes
    for key, problems, number, n_problems, split in _asked(case, rl_problems):
        for field, what in find(settings, problems, n_problems, split):
            mistakes.append(f"{number if field == 'n_problems' else f'{place}.{key}.{field}'}: {what}")
    if case.params.resources.gpu_memory_gib:
        mistakes += too_large(case, rl_problems, case.params.resources.gpu_memory_gib)
    return list(dict.fromkeys(mistakes))
