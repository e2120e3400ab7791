"""Change the code that no key covers, one function or constant at a time, and look for a result that changes while its key stays.

A module that no key covers may decide what runs, where and when; it must not compute results. So each of its functions is made to return another
value of the same kind, and each of its constants gets another value. Then an artifact of each stage is planned and made again at the smoke scale:
data, labels and measures in full; instead of a training, the arguments of its trainer and the data that it would read. Prints a line of JSON for
each change under which an artifact differs and keeps its name. Only functions that are called while an artifact is made are changed: planning
affects a job only through its command, and a job refuses to run if its config, inputs and source do not have the planned key.

Run by `tests/unit/test_keys_cover_what_computes.py`, or by hand::

    PYTHONPATH=workflow python tests/key_mutants.py [MODULE …]
"""

import ast
import builtins
import contextlib
import copy
import functools
import gc
import hashlib
import importlib
import inspect
import io
import json
import logging
import multiprocessing
import os
import re
import shutil
import signal
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import yaml

gc.disable()
ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "workflow" / "selectimprove"
EXPERIMENTS = {
    "main": {"sft_mixes": ["FB"], "rl_problems": ["rl_6_9"]},
    "methods": {
        "sft_mixes": ["FB"],
        "rl_problems": ["rl_6_9"],
        "variants": {
            "rejection_sampling": {"rl": {"method": "rejection_sampling"}},
            "own": {"rl": {"reward": "rewards:short"}},
            "knobs": {
                "rl": {"kl_estimator": "k3_corrected", "epsilon": 0.3, "loss_type": "dr_grpo", "num_iterations": 2}
            },
        },
    },
}
"""The main experiment, and one with another method, a user's own reward and other knobs."""
CLAIMS = ("only_fb_nears_100", "no_new_strategy")
SMALLER = {
    "sft": {"n_train": 24, "n_validation": 8},
    "rl": {"n_prompts": 16},
    "evaluation": {"n_problems": 16, "curve_problems": {"6-9": 8}, "told_problems": 8},
    "statistics": {"n_bootstrap": 10},
}
"""Smaller numbers than those of the smoke scale, so that each artifact takes a moment."""
MOST_VARIANTS = 4
LONGEST = 1
"""Seconds of processor time after which an artifact counts as not made under a change."""


def write_params(folder: Path) -> None:
    """Write params and a smoke scale with only a few experiments."""
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    smoke = yaml.safe_load((ROOT / "workflow/scales/smoke.yaml").read_text())
    params |= {"seeds": [110], "experiments": EXPERIMENTS, "tables": {}, "scale": "smoke"}
    params["figures"] = {"figure2": params["figures"]["figure2"] | {"experiment": "main"}}
    for section, values in SMALLER.items():
        smoke[section] = smoke.get(section, {}) | values
    shutil.copytree(ROOT / "workflow/scales", folder / "scales")
    # All short chains would be listed to draw from, which takes a second.
    params["tasks"]["chains"] |= {"sft_problems": {"steps": [6, 7]}, "test_problems": {"6-9": {"steps": [6, 9]}}}
    claims = yaml.safe_load((ROOT / "workflow/claims.yaml").read_text())
    few = {name: {key: claims[name][key] for key in claims[name] if "follows" not in key} for name in CLAIMS}
    (folder / "claims.yaml").write_text(yaml.safe_dump(few, sort_keys=False))
    (folder / "rewards.py").write_text("def short(completion, answer, problem):\n    return -len(completion)\n")
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    smoke = {name: values for name, values in smoke.items() if name not in ("experiments", "figures", "tables")}
    (folder / "scales/smoke.yaml").write_text(yaml.safe_dump(smoke, sort_keys=False))


# Trainers and samplers that record their arguments.


def shown(value: object) -> object:
    """Return a value as it can be compared with that of another run: no addresses, no folders."""
    if isinstance(value, dict):
        return {
            str(key): shown(item)
            for key, item in value.items()
            if key not in ("output_dir", "logging_dir", "_name_or_path")
        }
    if isinstance(value, list | tuple | set | frozenset):
        return [shown(item) for item in value]
    if hasattr(value, "tolist"):
        return value.tolist()
    return value if isinstance(value, str | int | float | None) else type(value).__name__


class FakeTrainer:
    """Replaces every trainer: it writes its arguments into the artifact, and trains nothing."""

    def __init__(self, model, args, train_dataset, **others):
        self.model, self.args = model, args
        self.accelerator = types.SimpleNamespace(wait_for_everyone=lambda: None, unwrap_model=lambda model: model)
        self.state = types.SimpleNamespace(log_history=[{"step": 1, "loss": 1.0, "learning_rate": 0.1}], global_step=1)
        datasets = [train_dataset, others["eval_dataset"]] if "eval_dataset" in others else [train_dataset]
        rows = [dataset[number] for dataset in datasets for number in (0, 1, len(dataset) - 1)]
        told = {"arguments": args.to_dict(), "rows": rows, "lengths": [*map(len, datasets)]}
        told |= {
            "model": model.config.to_dict(),
            "adapter": others["peft_config"].to_dict() if others.get("peft_config") else None,
        }
        told["environment"] = {name: os.environ.get(name) for name in ("MKL_CBWR", "ATEN_CPU_CAPABILITY")}
        self.rewards = others.get("reward_funcs")
        folder = Path(args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        (folder.parent / "told.json").write_text(json.dumps(shown(told), sort_keys=True))
        self.numbers = train_dataset["problem_id"][:4] if self.rewards else []

    def add_callback(self, callback):
        pass

    def train(self, resume_from_checkpoint=None):
        if self.rewards:
            self.rewards(
                completions=[f"x answer e{n}" for n in range(4)], problem_id=self.numbers, trainer_state=self.state
            )
            self.model.save_pretrained(Path(self.args.output_dir) / "checkpoint-1")
            for name in Path.cwd().glob("tokenizer/*"):
                shutil.copy2(name, Path(self.args.output_dir) / "checkpoint-1")


def answer(prompt: str, field) -> str:
    """Work the steps that a prompt shows, from a value that may be right."""
    value, said = int((re.search(r"start e(\d+)", prompt) or [0, 1])[1]), []
    for label, operation, operand in re.findall(r"(s\d+) ([+*])e(\d+)", prompt):
        value = field.apply(operation, value, int(operand))
        said += [label, f"{operation}e{operand}", f"e{value}"]
    return " ".join(["forward", prompt.split()[1], *said, "answer", f"e{value}"])


def stand_in() -> None:
    """Replace everything slow before stages import it."""
    import papermill
    import transformers
    import trl

    transformers.utils.logging.disable_progress_bar()
    transformers.Trainer = transformers.trainer.Trainer = FakeTrainer
    trl.SFTTrainer, trl.GRPOTrainer = FakeTrainer, FakeTrainer
    from selectimprove.tasks.field import FiniteField
    from selectimprove.training import engine_transformers

    field = FiniteField(11, 7)

    class Sampler:
        def __init__(self, checkpoint, base, settings, seed):
            self.told = {"checkpoint": Path(checkpoint).name, "base": base and base.name, "seed": seed}

        def sample(self, prompts, temperature, n_samples, max_new_tokens, seed):
            told = json.dumps([prompts, temperature, n_samples, max_new_tokens, seed, self.told], default=str)
            mark = hashlib.sha256(told.encode()).hexdigest()
            return [
                [answer(prompt, field) if n == 0 else f"{mark} answer e{n}" for n in range(n_samples)]
                for prompt in prompts
            ]

        def close(self):
            pass

    engine_transformers.Sampler = Sampler

    def execute(notebook, target, parameters, **_):
        told = parameters | {"folder": "", "measures": Path(parameters["measures"]).name}
        Path(target).write_text(json.dumps([Path(notebook).read_text(), told], default=str))
        Path(target).with_name(f"{parameters['name']}.csv").write_text("n_problems\n8\n")

    papermill.execute_notebook = execute


# Planning and making.


def plan():
    """Plan anew, as another process would."""
    from selectimprove.analysis import claims
    from selectimprove.config import loading
    from selectimprove.dag.plan import Plan

    claims.CLAIMS = Path("claims.yaml").resolve()
    loading.SCALES = Path("scales").resolve()
    return Plan(loading.load_params(Path("params.yaml")))


def clear_caches() -> None:
    for cached in CACHES:
        cached.cache_clear()


def command_of(planned, artifact, output: Path) -> list[str]:
    """Return the words of the command that makes an artifact, from the stage's own on."""
    words = stage_command(artifact, output, planned.params.resources, "python")
    return words[words.index(f"selectimprove.{STAGES[artifact.stage].module}") + 1 :]


def make(planned, artifact, output: Path) -> dict[str, str]:
    """Make an artifact by its command; return the hash of each of its files, except records."""
    stage, before = STAGES[artifact.stage], dict(os.environ)
    try:
        run_stage(stage.config, stage.function, command_of(planned, artifact, output))
    finally:
        os.environ.clear()
        os.environ.update(before)
    (made,) = output.parent.glob(output.name)
    return fingerprint(made)


def fingerprint(folder: Path) -> dict[str, str]:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.startswith(("provenance.json", "config.json")):
            found[str(path.relative_to(folder))] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def in_order(planned) -> list:
    """List all artifacts, each after its inputs."""
    return [artifact for stage in planned.artifacts.values() for artifact in stage.values()]


def representative(artifacts: list) -> list:
    """Choose an artifact of each stage, and for RL one for each reward and one with other knobs."""
    chosen = {}
    for artifact in artifacts:
        rl = getattr(artifact.config, "rl", None)
        chosen.setdefault((artifact.stage, getattr(rl, "kl_estimator", ""), getattr(rl, "reward", "")), artifact)
    return [*chosen.values()]


# Changes.


def others(value: object) -> Iterator[object]:
    """List other values of the same kind, if there are any."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, float):
        yield value / 2 if value else 0.5
    elif isinstance(value, str):
        yield f"{value}x"
    elif isinstance(value, list | tuple) and value:
        kind = type(value) if type(value) in (list, tuple) else list
        if kind(value[::-1]) != kind(value):
            yield kind(value[::-1])
        yield kind(value[:-1])
        yield from (kind([first, *value[1:]]) for first in others(value[0]))
    elif isinstance(value, range):
        yield range(value.start + 1, value.stop)
        yield value[::-1]
    elif isinstance(value, dict) and value:
        items = list(value.items())
        if len(items) > 1:
            yield dict(items[::-1])
            yield dict(items[1:])
        yield dict(items[:-1])
        yield from (value | {items[0][0]: first} for first in others(items[0][1]))
    elif isinstance(value, set | frozenset) and value:
        yield type(value)(sorted(value, key=str)[:-1])
    elif isinstance(value, Path):
        yield value.with_name(f"{value.name}x")
    elif isinstance(value, Iterator):
        yield from map(iter, others(list(value)))
    elif isinstance(value, types.ModuleType | type) or callable(value):
        return
    elif hasattr(value, "__dict__") and type(value).__module__.startswith("selectimprove"):
        for name, held in list(vars(value).items()):
            for other in others(held):
                changed = copy.copy(value)
                changed.__dict__[name] = other
                yield changed
                break


def change(value: object, variant: int) -> object:
    """Return one of the other values; raise `NoOther` if there are not so many."""
    if isinstance(value, Iterator):
        value = list(value)
        return iter(change(value, variant))
    for number, other in enumerate(others(value)):
        if number == variant:
            return other
    raise NoOther


class NoOther(Exception):
    """A value has no other of its kind."""


def left_out() -> dict[str, types.ModuleType]:
    """Load the modules of the package that are in no artifact's key."""
    aspects = [aspect_modules(task, aspect) for task in task_names() for aspect in ASPECTS]
    covered = set(source_digests(frozenset().union(*aspects, *(artifact.modules for artifact in in_order(BASELINE)))))
    inner = lambda name: name.partition(".")[2]  # noqa: E731
    loaded = {
        inner(name): module for name, module in list(sys.modules.items()) if name.partition(".")[0] == "selectimprove"
    }
    return {name: module for name, module in loaded.items() if name not in covered}


def functions_of(modules: dict[str, types.ModuleType]) -> list[types.FunctionType]:
    """List every function that modules define, including methods and validators."""
    files = {module.__file__ for module in modules.values()}
    return [function for function in ALL_FUNCTIONS if function.__code__.co_filename in files]


def constants_of(modules: dict[str, types.ModuleType]) -> Iterator[tuple[object, str]]:
    """List the constants of modules and of their classes: the module or class, and the name."""
    for module in modules.values():
        for statement in ast.parse(Path(module.__file__).read_text()).body:
            if isinstance(statement, ast.ClassDef) and hasattr(module, statement.name):
                holder, body = getattr(module, statement.name), statement.body
            else:
                holder, body = module, [statement]
            for inner in body:
                targets = getattr(inner, "targets", None) or [getattr(inner, "target", None)]
                names = [target.id for target in targets if isinstance(target, ast.Name)]
                yield from ((holder, name) for name in names if name in vars(holder))


@contextlib.contextmanager
def changed_function(function: types.FunctionType, variant: int):
    """Make a function return another value for every caller and under every name."""
    code, defaults, keywords = function.__code__, function.__defaults__, function.__kwdefaults__
    original = types.FunctionType(code, function.__globals__, function.__name__, defaults, function.__closure__)
    original.__kwdefaults__ = keywords

    def call(*arguments, **named):
        value = original(*arguments, **named)
        try:
            return change(value, variant)
        except NoOther:
            return value

    builtins.mutant = call
    free = len(code.co_freevars)
    names = [f"v{n}" for n in range(free)]
    source = f"def outer():\n {''.join(f'{n} = ' for n in names)}None\n def inner(*a, **k):\n  {', '.join(names) or 'None'}\n  return mutant(*a, **k)\n return inner"
    space: dict = {}
    exec(source, space)
    try:
        function.__code__ = space["outer"]().__code__
        function.__defaults__ = function.__kwdefaults__ = None
        yield
    finally:
        function.__code__, function.__defaults__, function.__kwdefaults__ = code, defaults, keywords


@contextlib.contextmanager
def changed_constant(holder: object, name: str, variant: int):
    """Give a constant another value, in its module and wherever it is imported."""
    value = vars(holder)[name]
    other = change(value, variant)
    places = [holder]
    if isinstance(holder, types.ModuleType):
        ours = [m for n, m in sys.modules.items() if n.partition(".")[0] == "selectimprove"]
        places = [module for module in ours if vars(module).get(name) is value]
    try:
        for place in places:
            setattr(place, name, other)
        yield
    finally:
        for place in places:
            setattr(place, name, value)


def calls_during(action: Callable) -> dict[types.CodeType, int]:
    """Return the functions of the package that an action calls, each with the number of other values that it could return."""
    called, package, files = {}, str(PACKAGE), {module.__file__ for module in left_out().values()}

    def note(frame, event, value):
        code = frame.f_code
        if event == "return" and code.co_filename.startswith(package):
            known = called.setdefault(code, 0)
            if known < MOST_VARIANTS and code.co_filename in files:
                # An iterator must not be used up here.
                iterates = isinstance(value, Iterator) or code.co_flags & inspect.CO_GENERATOR
                n = 2 if iterates else sum(1 for _ in islice(others(value), MOST_VARIANTS))
                called[code] = max(known, n)

    sys.setprofile(note)
    try:
        action()
    finally:
        sys.setprofile(None)
    return called


def survives(change_it: Callable, planning: bool, reached: set[str]) -> str | None:
    """Name an artifact that differs under a change and keeps its name; None if there is none."""
    output = Path(tempfile.mkdtemp(dir="made"))
    clear_caches()
    try:
        with change_it():
            planned = plan() if planning else BASELINE
            for job in JOBS:
                now = planned.artifacts[job.stage].get(job.name)
                if now is None:
                    continue
                told = command_of(planned, now, job.folder) != COMMANDS[job.name]
                if not told and job.name not in reached:
                    continue
                try:
                    signal.setitimer(signal.ITIMER_PROF, LONGEST)
                    found = make(planned, now, output / job.stage / job.name)
                except (Exception, SystemExit):
                    continue
                finally:
                    signal.setitimer(signal.ITIMER_PROF, 0)
                if found != MADE[job.name]:
                    files = [name for name in {*found, *MADE[job.name]} if found.get(name) != MADE[job.name].get(name)]
                    return f"{job.stage}/{job.name}: {', '.join(sorted(files))}"
    except (Exception, SystemExit):
        # Nothing is planned, so no artifact can be wrong.
        return None
    finally:
        clear_caches()
        shutil.rmtree(output, ignore_errors=True)
    return None


def jobs_that_call(reaches: Callable[[types.CodeType], bool]) -> set[str]:
    """Name the artifacts that call one of the functions that `reaches` accepts."""
    names = {job.name for job in JOBS if any(map(reaches, CALLED[job.name]))}
    # All stages call this code, so three of them suffice: one makes data, one trains and one reads.
    frame = {next(job.name for job in JOBS if job.stage == stage) for stage in ("demonstrations", "rl", "labels")}
    return frame if len(names) == len(JOBS) else names


def all_changes(only: list[str]) -> Iterator[tuple[str, Callable, bool, set[str]]]:
    """List the changes: what is changed, how, whether planning may see it, and which artifacts may."""
    modules = {name: module for name, module in left_out().items() if not only or name in only}
    for function in functions_of(modules):
        code = function.__code__
        names = jobs_that_call(lambda other, own=code: other is own)
        for variant in range(max((CALLED[name].get(code, 0) for name in names), default=0)):
            where = f"{function.__module__}: {function.__qualname__} ({variant})"
            yield where, functools.partial(changed_function, function, variant), code in CALLED[None], names
    for holder, constant in constants_of(modules):
        names = jobs_that_call(lambda code, own=constant: own in code.co_names)
        planning = any(constant in code.co_names for code in CALLED[None])
        n = sum(1 for _ in islice(others(vars(holder)[constant]), MOST_VARIANTS)) if names else 0
        for variant in range(n):
            where = f"{getattr(holder, '__module__', holder.__name__)}: {constant} ({variant})"
            yield where, functools.partial(changed_constant, holder, constant, variant), planning, names


def give_up(*_) -> None:
    raise TimeoutError


def check(number: int) -> str | None:
    _, *change = CHANGES[number]
    # Some changes make a loop endless.
    signal.signal(signal.SIGPROF, give_up)
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        return survives(*change)


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    os.chdir(tempfile.mkdtemp(prefix="key-mutants-"))
    write_params(Path.cwd())
    sys.path.append(str(Path.cwd()))
    Path("made").mkdir()
    stand_in()
    from selectimprove.artifacts.keys import source_digests
    from selectimprove.artifacts.runner import run_stage
    from selectimprove.dag.artifact import collect_ancestors, stage_command
    from selectimprove.dag.table import STAGES
    from selectimprove.tasks.interface import ASPECTS, aspect_modules, task_names

    for row in STAGES.values():
        importlib.import_module(f"selectimprove.{row.module}")
    caches = [one for one in gc.get_objects() if type(one) is functools._lru_cache_wrapper]
    # Source is parsed only once, because no change affects its text.
    lasting = ("_parse", "canonical_source", "module_source")
    CACHES = [one for one in caches if one.__module__.startswith("selectimprove") and one.__name__ not in lasting]
    BASELINE, MADE, CALLED = plan(), {}, {}
    ALL_FUNCTIONS = [one for one in gc.get_objects() if type(one) is types.FunctionType]
    JOBS = representative(in_order(BASELINE))
    COMMANDS = {job.name: command_of(BASELINE, job, job.folder) for job in JOBS}
    clear_caches()
    CALLED[None] = calls_during(plan)
    needed = set(collect_ancestors(JOBS))
    for one in in_order(BASELINE):
        if one in needed:
            MADE[one.name] = make(BASELINE, one, one.folder)
    for one in JOBS:
        again = Path("made", one.name)
        clear_caches()
        CALLED[one.name] = calls_during(functools.partial(make, BASELINE, one, again))
        if fingerprint(again) != MADE[one.name]:
            sys.exit(f"{one.name} is not the same when it is made again")
    CHANGES = list(all_changes(sys.argv[1:]))
    with multiprocessing.get_context("fork").Pool() as pool:
        for (what, *_), artifact in zip(CHANGES, pool.imap(check, range(len(CHANGES)), chunksize=4), strict=True):
            if artifact:
                print(json.dumps([what, artifact]), flush=True)
    print(json.dumps(["changes", len(CHANGES)]))
