"""Write a model or dataset with a card to a folder that transformers or datasets loads; --push uploads it to the hub.

Name a model as for `selectimprove show`, or a model or dataset by its artifact. Examples, at the root of a checkout::

    selectimprove export table1 FB rl_6_9
    selectimprove export figure3 B rl_6_9 --step 40 --output /tmp/B-40
    selectimprove export rl/FB-gf11-rl_6_9-s110-0123456789 --push me/FB
    selectimprove export FB-train-gf11-s110
"""

import re
from argparse import ArgumentParser, Namespace
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from selectimprove.commands import arguments
from selectimprove.config.loading import load_params
from selectimprove.config.stages import Run
from selectimprove.dag.artifact import Artifact, Checkpoint
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError

DATA, MODELS = ("problems", "demonstrations"), ("base", "sft", "rl", "rft")
EXPORTED = Path("exported")
"""A folder outside of ``results``, so that no copy is mistaken for the artifact."""


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("what", nargs="+", help="a model, as in the examples, or an artifact")
    add("--seed", help="a random seed of the experiment, if it has several")
    add("--variant", default="default", help="a variant of the experiment")
    add("--step", help="a checkpoint of RL (default: the last)")
    add("--output", type=Path, metavar="FOLDER", help=f"what to write (default: in {EXPORTED})")
    add("--push", metavar="OWNER/NAME", help="upload to the hub; a new repository is private")
    add("--public", action="store_true", help="make a new repository public")
    add("--scale", help="use this scale instead of that of params.yaml")


def run(options: Namespace) -> None:
    """Write the folder, and push it if asked."""
    if find_spec("huggingface_hub") is None:
        raise ParamsError("export: needs huggingface_hub; `pip install '.[train]'` installs it")
    from selectimprove.reports import exporting

    if options.push:
        exporting.require_pushable(options.push)
    plan = arguments.open_plan(options.scale)
    found = find_exported(plan, options)
    artifact, kind = (found.artifact, "model") if isinstance(found, Checkpoint) else (found, "dataset")
    write = partial(exporting.write_model, plan.params) if kind == "model" else exporting.write_dataset
    target = options.output or EXPORTED / (artifact.name + (f"-step-{found.step}" if options.step else ""))
    exporting.write_folder(target, partial(write, found, options.push or str(target)))
    print(f"{kind:<9} {found.folder}\nwritten   {target}\ncard      {target / 'README.md'}")
    if options.push:
        print(f"pushed    {exporting.push_folder(target, options.push, kind, private=not options.public)}")


def find_checkpoint(
    *what: str,
    scale: str | None = None,
    seed: int | None = None,
    variant: str = "default",
    step: int | None = None,
) -> Path:
    """Return the folder of a model that was made, as ``find_checkpoint("table1", "FB", "rl_6_9")``."""
    seed, step = (None if number is None else str(number) for number in (seed, step))
    plan = Plan(load_params(Path("params.yaml"), {"scale": scale} if scale else {}))
    return find_exported(plan, Namespace(what=what, scale=scale, seed=seed, variant=variant, step=step)).folder


def find_exported(plan: Plan, options: Namespace) -> Checkpoint | Artifact:
    """Find the checkpoint or the dataset that the options name."""
    if len(options.what) == 3:
        measures, runs = arguments.find_runs(plan, *options.what, options.variant, options.seed)
        if len(runs) > 1:
            raise ParamsError(f"--seed: name one of {', '.join(str(run.seed) for run in runs)}")
        return open_checkpoint(measures.inputs[f"policy/{runs[0].name}"], options, measures, runs[0])
    if len(options.what) != 1:
        raise ParamsError(f"{' '.join(options.what)}: neither three words such as `table1 FB rl_6_9` nor an artifact")
    # `show` prints the folder of a checkpoint, and table1.csv that of its generations.
    text, _, step = re.fullmatch(r"(.*?)(/checkpoints/step-0*(\d+)|/model)?/?", options.what[0], re.DOTALL).groups()
    options.step = options.step or step
    artifact = arguments.find_artifact(plan, text, (*DATA, *MODELS, "evaluation", "labels"))
    if artifact.stage in DATA:
        arguments.require_made(artifact, options.scale)
        return artifact
    measures, run = find_measured(plan, artifact)
    policy = artifact if artifact.stage in MODELS else measures.inputs[f"policy/{run.name}"]
    return open_checkpoint(policy, options, measures, run)


def find_measured(plan: Plan, artifact: Artifact) -> tuple[Artifact, Run] | tuple[None, None]:
    """Find the measures of a model, given by its weights, generations or labels; those that are made come first."""
    found = [
        (measures, run)
        for measures in plan.measures.values()
        for run in measures.config.runs
        if artifact in [measures.inputs[f"{role}/{run.name}"] for role in ("policy", "evaluation", "labels")]
    ]
    return max(found, key=lambda pair: pair[0].done.exists(), default=(None, None))


def open_checkpoint(policy: Artifact, options: Namespace, measures: Artifact | None, run: Run | None) -> Checkpoint:
    """Choose a checkpoint of a model, which has to be made."""
    arguments.require_made(policy, options.scale)
    if measures and measures.done.exists():
        arguments.require_readable(measures, options.scale)
    checkpoints = policy.checkpoints or {0: policy.folder / "model"}
    if options.step:
        arguments.require_known("--step", options.step, checkpoints)
    step = int(options.step or max(checkpoints))
    return Checkpoint(policy, checkpoints[step], step, measures, run)
