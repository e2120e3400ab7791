"""What must hold between the values of `params.yaml`; a line per contradiction, beginning with its key."""

import re
from collections.abc import Iterable, Iterator
from importlib.util import find_spec

from pydantic import ValidationError

from selectimprove.config.demands.exhibits import find_unmet
from selectimprove.config.demands.memory import MODULES, too_large
from selectimprove.config.demands.problems import Mistake, find_mistakes
from selectimprove.config.demands.rl import unfit_rl
from selectimprove.config.messages import describe_all, unknown_name
from selectimprove.config.params import ALL_CLAIMS, NO_SFT, Params
from selectimprove.config.resolving import Case, resolve_case
from selectimprove.config.training import ALL_LINEAR
from selectimprove.tasks.interface import Problems, load_task

SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
"""Names become those of files and folders."""
ROLES = ("policy", "base", "evaluation", "rl", "rollouts")
"""Inputs of a stage that lie beside test problems, which go by their own names."""
MOST_SYMBOLS = 1000
"""Largest setting of a task, seeds aside: every element and every label is a token of the model's vocabulary."""
FEWEST_TOLD = 8
"""Problems told a strategy, drawn at random, with which hardly ever one of two types is missing."""


def find_contradictions(params: Params) -> list[str]:
    """Find what is wrong in the params, then what an experiment's overrides make wrong, then what figures and tables lack."""
    mistakes = _names(params)
    if mistakes:
        return mistakes
    mistakes = [*_values(params), *_unreported(params)]
    for task in type(params.tasks).model_fields:
        case = Case(params, task)
        mistakes += _of_task(case, list(case.section.rl_problems))
    mistakes = list(dict.fromkeys(mistakes))
    everywhere = {line.partition(":")[0] for line in mistakes}
    for name in params.experiments:
        mistakes += _overridden(params, name, everywhere)
    return mistakes + find_unmet(params)


def _unreported(params: Params) -> list[str]:
    """Find a library that trainings should log to and that is not installed."""
    # TensorBoard's files are also written by a smaller package.
    packages = {"none": (), "tensorboard": ("tensorboard", "tensorboardX")}.get(params.report_to, (params.report_to,))
    if not packages or any(map(find_spec, packages)):
        return []
    return [f"report_to: {params.report_to} is not installed; `pip install {packages[0]}` beside the other packages"]


def _overridden(params: Params, name: str, everywhere: set[str]) -> list[str]:
    """Find what an experiment's overrides, and those of its variants, make wrong; what is wrong without them is said already."""
    experiment, place = params.experiments[name], f"experiments.{name}"
    mistakes, said = [], set(everywhere)
    for variant in (None, *experiment.variants):
        key = f"{place}.variants.{variant}" if variant else f"{place}.overrides"
        try:
            case = resolve_case(params, name, variant)
        except ValidationError as error:
            own = rf"^tasks\.{experiment.task}\b"
            lines = [re.sub(own, "task", line) for line in describe_all(error.errors())]
            mistakes += [f"{key}.{line}" for line in lines]
            if variant is None:
                break
            continue
        found = _values(case.params) + _of_task(case, experiment.rl_problems)
        new = [line for line in dict.fromkeys(found) if line.partition(":")[0] not in said]
        mistakes += [f"{key}: {line}" for line in new]
        said |= {line.partition(":")[0] for line in new}
    return mistakes


def _unsafe(key: str, names: Iterable[str]) -> list[str]:
    """Find names that cannot be those of files everywhere, or would leave the folder of results."""
    return [
        f"{key}.{name}: '{name}' names files; use at most 60 letters, digits, '_', '-' and '.', a letter or digit first"
        for name in names
        if not SAFE_NAME.fullmatch(name)
    ]


def _names(params: Params) -> list[str]:
    mistakes = []
    for kind in ("experiments", "figures", "tables"):
        mistakes += _unsafe(kind, getattr(params, kind))
    for name, experiment in params.experiments.items():
        mistakes += _unsafe(f"experiments.{name}.variants", experiment.variants)
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
                mistakes += unknown_name(f"{kind}.{name}.claims", exhibit.claims, (*params.experiments, ALL_CLAIMS))
            if exhibit.notebook is not None:
                mistakes += _unsafe(f"{kind}.{name}.notebook", [exhibit.notebook])
    mistakes += [
        f"tables.{name}: there is a figure of this name too; choose another name"
        for name in params.tables
        if name in params.figures
    ]
    for task in type(params.tasks).model_fields:
        mistakes += _names_of_task(Case(params, task))
    for name in params.verify.only:
        mistakes += unknown_name("verify.only", name, (*params.experiments, *params.figures, *params.tables))
    return mistakes


def _names_of_task(case: Case) -> list[str]:
    """Find names in a task's section that are unknown, cannot be those of files, or mean something else."""
    section, place, tasks = case.section, f"tasks.{case.task}", type(case.params.tasks).model_fields
    mistakes = []
    for kind in ("sft_mixes", "rl_problems", "test_problems"):
        mistakes += _unsafe(f"{place}.{kind}", getattr(section, kind))
    if NO_SFT in section.sft_mixes:
        mistakes.append(f"{place}.sft_mixes.{NO_SFT}: '{NO_SFT}' names the base model without SFT; choose another name")
    if "sft" in section.rl_problems:
        mistakes.append(f"{place}.rl_problems.sft: 'sft' names the models before RL; choose another name")
    mistakes += [
        f"{place}.test_problems.{name}: '{name}' names something else; choose another name than {', '.join(ROLES)}"
        for name in section.test_problems
        if name in ROLES
    ]
    if section.extends is not None:
        mistakes += unknown_name(f"{place}.extends", section.extends, [task for task in tasks if task != case.task])
    return mistakes + _unending(case)


def _unending(case: Case) -> list[str]:
    """Find base models that are to be trained on another's weights which are trained on theirs, or on those of none."""
    task, passed = case.task, []
    while continued := getattr(case.params.tasks, task).continued:
        passed.append(task)
        key = f"tasks.{task}.continued.after"
        unknown = unknown_name(key, continued.after, type(case.params.tasks).model_fields)
        if unknown or continued.after in passed:
            return unknown or [f"{key}: '{continued.after}' is trained after '{task}' itself; name a task that is not"]
        task = continued.after
    return []


def _values(params: Params) -> list[str]:
    """Find values that contradict one another, whatever the task."""
    mistakes = _model(params)
    if params.rl.prompts_per_step > params.rl.n_prompts:
        mistakes.append(
            f"rl.prompts_per_step: {params.rl.prompts_per_step} is more than n_prompts {params.rl.n_prompts}"
        )
    mistakes += unfit_rl(params)
    mistakes += _batches(params)
    mistakes += [
        f"experiments.{name}.sft_mixes: '{NO_SFT}' needs `lora: null`: an adapter is made by SFT"
        for name, experiment in params.experiments.items()
        if params.lora and NO_SFT in experiment.sft_mixes
    ]
    if 0 < params.evaluation.told_problems < FEWEST_TOLD:
        mistakes.append(
            f"evaluation.told_problems: {params.evaluation.told_problems} may hold no problem of one type; use 0 or at least "
            f"{FEWEST_TOLD}"
        )
    if params.sampling.engine == "vllm" and params.sampling.vllm is None:
        mistakes.append("sampling.vllm: missing; the engine vllm needs its settings, as in workflow/scales/paper.yaml")
    return mistakes


def _model(params: Params) -> list[str]:
    """Find what is wrong in a model that is built here, or missing for one that is pretrained, which has its own layers."""
    model, pretrained, mistakes = params.model, params.pretrained, []
    if params.system_prompt and not pretrained:
        mistakes.append("system_prompt: a model that is trained from scratch has no chat template; use null")
    if pretrained and (model.n_kv_heads is None or model.vocab_size is None):
        mistakes.append("model: a pretrained model needs n_kv_heads and vocab_size too, as in its config.json")
    if pretrained and pretrained.weights == "hub" and not (pretrained.repository and pretrained.revision):
        mistakes.append(
            "pretrained.weights: 'hub' needs repository and revision; or name a folder that holds the model"
        )
    if pretrained and pretrained.weights != "random":
        return mistakes
    if model.hidden_size % model.n_heads:
        mistakes.append(f"model.n_heads: {model.n_heads} heads do not divide hidden_size {model.hidden_size}")
    elif model.hidden_size // model.n_heads % 2:
        mistakes.append(
            f"model.n_heads: {model.n_heads} heads of hidden_size {model.hidden_size} have an odd size each; "
            "rotary positions take an even one"
        )
    if model.n_heads % (model.n_kv_heads or 1):
        mistakes.append(f"model.n_kv_heads: {model.n_kv_heads} do not divide the {model.n_heads} heads")
    if params.lora and params.lora.target_modules != ALL_LINEAR:
        for module in params.lora.target_modules:
            mistakes += unknown_name("lora.target_modules", module, MODULES)
    return mistakes


def _batches(params: Params) -> list[str]:
    """Find batches that do not spread evenly over the GPUs of their job and the passes of each."""
    all_gpus = max(params.resources.train.gpus, 1)
    mistakes = []
    for section, size, device_size, gpus in (
        ("sft", params.sft.batch_size, params.sft.device_batch_size, all_gpus),
        ("rl", params.rl.prompts_per_step * params.rl.group_size, params.rl.device_batch_size, all_gpus),
        ("rft", params.rft.batch_size, params.rft.device_batch_size, 1),
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
    mistakes = _names_of_task(case)
    settings, place = case.settings, f"tasks.{case.task}"
    sizes = settings.model_dump(exclude={name for name in type(settings).model_fields if name.endswith("_seed")})
    large = {name: size for name, size in sizes.items() if isinstance(size, int) and size > MOST_SYMBOLS}
    if mistakes or large:
        # With settings as these, what follows would not come to an end.
        return mistakes + [
            f"{place}.{name}: {size} is more than {MOST_SYMBOLS}, the most that is supported"
            for name, size in large.items()
        ]
    documents = case.section.documents
    found = load_task(case.task).refuse_documents(settings, documents)
    mistakes = [f"{place}.documents.{field}: {what}" for field, what in found]
    too_many: dict[str, Mistake] = {}
    for key, problems, number, n_problems, split in _asked(case, rl_problems):
        for found in find_mistakes(case.task, settings, problems, n_problems, split):
            if found.most is None:
                mistakes.append(f"{place}.{key}.{found.field}: {found.what}")
            elif number not in too_many or found.most < too_many[number].most:
                too_many[number] = found
    mistakes += [f"{number}: {found.what}" for number, found in too_many.items()]
    if case.params.resources.gpu_memory_gib:
        mistakes += too_large(case, rl_problems, case.params.resources.gpu_memory_gib)
    return list(dict.fromkeys(mistakes))
