"""Write a model or a dataset to a folder that transformers or datasets loads, with a card; --push uploads it to the Hugging Face hub.

A model is named as `selectimprove show` takes it, and a model or dataset by its artifact. Examples, at the root of a checkout::

    selectimprove export table1 FB rl_6_9
    selectimprove export figure3 B rl_6_9 --step 40 --output /tmp/B-40
    selectimprove export rl/FB-gf11-rl_6_9-s110-0123456789 --push me/FB
    selectimprove export FB-train-gf11-s110
"""

import argparse
import re
from pathlib import Path

from selectimprove.commands.checkout import open_plan
from selectimprove.commands.naming import find_artifact, find_runs, require_known, require_made, require_readable
from selectimprove.config.stages import Run
from selectimprove.dag.artifact import RESULTS, Artifact
from selectimprove.dag.plan import Plan
from selectimprove.errors import ParamsError
from selectimprove.reports.exporting.datasets import write_dataset
from selectimprove.reports.exporting.folders import DATA, push_folder, require_pushable, write_folder
from selectimprove.reports.exporting.models import STAGES_OF_MODELS, Checkpoint, write_model

EXPORTED = RESULTS / "exported"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "what",
        nargs="+",
        help="a figure, table or experiment, an SFT mix of it and a training (table1 FB rl_6_9); or an artifact of results",
    )
    parser.add_argument("--seed", help="a random seed of the experiment, if it has several")
    parser.add_argument("--variant", default="default", help="a variant of the experiment")
    parser.add_argument("--step", help="a checkpoint of RL; the last by default")
    parser.add_argument(
        "--output", type=Path, metavar="FOLDER", help="the folder to write; one in results/exported by default"
    )
    parser.add_argument(
        "--push", metavar="OWNER/NAME", help="upload to this repository of the hub, private if it is new"
    )
    parser.add_argument("--public", action="store_true", help="make the new repository public")
    parser.add_argument("--scale", help="in place of that of params.yaml")


def run(options: argparse.Namespace) -> None:
    """Write the folder and push it if that is asked for."""
    try:
        import huggingface_hub  # noqa: F401
    except ImportError:
        raise ParamsError("export: needs huggingface_hub; `pip install '.[train]'` installs it") from None
    if options.push:
        require_pushable(options.push)
    plan = open_plan(options.scale)
    found = find_exported(plan, options)
    artifact, kind = (found.artifact, "model") if isinstance(found, Checkpoint) else (found, "dataset")
    step = f"-step-{found.step}" if options.step else ""
    target = options.output or EXPORTED / f"{artifact.name}{step}"
    loaded_as = options.push or str(target)
    if isinstance(found, Checkpoint):
        write_folder(target, lambda folder: write_model(plan, found, loaded_as, folder))
    else:
        write_folder(target, lambda folder: write_dataset(found, loaded_as, folder))
    print(f"{kind:<9} {found.folder}\nwritten   {target}\ncard      {target / 'README.md'}")
    if options.push:
        print(f"pushed    {push_folder(target, options.push, kind, private=not options.public)}")


def find_exported(plan: Plan, options: argparse.Namespace) -> Checkpoint | Artifact:
    """Find the checkpoint or the dataset that the options name.

    Raises
    ------
    ParamsError
        If there is none, more than one, or it has been neither made nor pulled.
    """
    if len(options.what) == 3:
        name, sft, training = options.what
        measures, runs = find_runs(plan, name, sft, training, options.variant, options.seed)
        if len(runs) > 1:
            raise ParamsError(f"--seed: name one of {', '.join(str(run.seed) for run in runs)}")
        return open_checkpoint(measures.inputs[f"policy/{runs[0].name}"], options, measures, runs[0])
    if len(options.what) != 1:
        raise ParamsError(f"{' '.join(options.what)}: neither three words such as `table1 FB rl_6_9` nor an artifact")
    # `show` prints a checkpoint, table1.csv the artifact of the generations.
    text, _, step = re.fullmatch(r"(.*?)(/checkpoints/step-0*(\d+)|/model)?/?", options.what[0], re.DOTALL).groups()
    options.step = options.step or step
    artifact = find_artifact(plan, text, (*DATA, *STAGES_OF_MODELS, "evaluation", "labels"))
    if artifact.stage in DATA:
        require_made(artifact, options.scale)
        return artifact
    measures, run = find_measured(plan, artifact)
    if artifact.stage not in STAGES_OF_MODELS:
        artifact = measures.inputs[f"policy/{run.name}"]
    return open_checkpoint(artifact, options, measures, run)


def find_measured(plan: Plan, artifact: Artifact) -> tuple[Artifact, Run] | tuple[None, None]:
    """Find an experiment that measures a model, named by its weights, generations or labels, one that was made if there is one."""
    found = [
        (measures, run)
        for measures in plan.measures.values()
        for run in measures.config.runs
        if artifact in [measures.inputs[f"{role}/{run.name}"] for role in ("policy", "evaluation", "labels")]
    ]
    return next((pair for pair in found if pair[0].done.exists()), found[0] if found else (None, None))


def open_checkpoint(
    artifact: Artifact, options: argparse.Namespace, measures: Artifact | None, run: Run | None
) -> Checkpoint:
    """Choose a checkpoint of a model that is there."""
    require_known("stage", artifact.stage, STAGES_OF_MODELS)
    require_made(artifact, options.scale)
    if measures and measures.done.exists():
        require_readable(measures, options.scale)
    if artifact.stage in ("base", "sft"):
        if options.step:
            raise ParamsError(f"--step: {artifact.stage}/{artifact.name} has no steps of RL")
        return Checkpoint(artifact, artifact.folder / "model", 0, measures, run)
    folders = artifact.checkpoints
    if options.step:
        require_known("--step", options.step, folders)
    step = int(options.step or max(folders))
    return Checkpoint(artifact, folders[step], step, measures, run)
