"""The frame of every stage: a config and input folders in, one folder out.

A stage works in ``<output>.partial`` and renames it at the end, so a folder with the final name is complete, and a
killed stage resumes from its checkpoints. It locks the folder: a second process waits for the first and reuses its
result. It also writes ``config.json`` and ``provenance.json``. Any stage can be run by hand::

    python -m selectimprove.stages.sft --config results/sft/FB-…/config.json --input base=results/base/… --output FB
"""

import argparse
import errno
import gc
import importlib
import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from selectimprove.artifacts.arithmetic import clean_environment
from selectimprove.artifacts.files import date_back, lock_folder
from selectimprove.artifacts.keys import OWN, artifact_digest, loaded_by_name
from selectimprove.artifacts.provenance import RECORD, Recorder, read_if_whole, require_intact
from selectimprove.config.messages import describe_all
from selectimprove.config.sources import load_module
from selectimprove.config.training import REPORT_TO, RUN_NAME
from selectimprove.errors import ParamsError
from selectimprove.types import Strict

LOG = logging.getLogger(__name__)


class Inputs(dict):
    """Input folders by role; a missing role is a mistake in the command."""

    def __missing__(self, role: str):
        raise ParamsError(f"needs --input {role}=FOLDER")


def is_made(output: Path, config: Strict, recorder: Recorder) -> bool:
    """Tell whether a folder is complete and was made from this config, source and these inputs."""
    made, used = (read_if_whole(output / name) for name in (RECORD, "config.json"))
    expected = (config.model_dump(mode="json"), recorder.source, recorder.input_names)
    return (used, made.get("source"), made.get("inputs")) == expected


def explain(error: Exception, folder: Path) -> str | None:
    """Say what to do about an error that the machine or the params cause; None for any other error."""
    code, said = getattr(error, "errno", None), str(error)
    # Writers of weights and of optimiser states raise their own types of error.
    full = code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space left" in said or "os error 28" in said
    if full or shutil.disk_usage(folder.parent).free == 0:
        return f"{folder.parent}: no space left; free some and repeat the command"
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.filename or folder}: {error.strerror}; make it writable and repeat the command"
    if isinstance(error, MemoryError) or code == errno.ENOMEM or "allocate memory" in said:
        return "not enough memory; repeat the command with fewer --cores, or where there is more"
    if "probability tensor contains" in said:
        return "a training diverged: the model's probabilities are not numbers; lower a learning rate in params.yaml"
    return None


def working_folder(output: Path) -> Path:
    """Return where a stage works until all is done."""
    return output.with_name(f"{output.name}.partial")


def name_run(output: Path) -> None:
    """Give the library that a training reports to, if any, the run's name, and a folder that outlives checkpoints."""
    if os.environ.get(REPORT_TO, "none") != "none":
        os.environ[RUN_NAME] = f"{output.parent.name}/{output.name}"
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(output.parents[1] / "tensorboard" / os.environ[RUN_NAME]))


def share_files(folder: Path) -> None:
    """Give all files the mode that the umask allows; safetensors writes weights readable by their owner only."""
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o666 & ~mask)


def parse(config_type: type[Strict], description: str | None, arguments: list[str] | None) -> tuple:
    """Read a stage's config, its inputs and the other options from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", required=True, help="resolved config: JSON, or the path of a JSON file")
    parser.add_argument("--input", action="append", default=[], metavar="ROLE=FOLDER", help="an input folder")
    parser.add_argument("--output", required=True, type=Path, help="the folder to make")
    parser.add_argument("--key", help="the key that was planned; nothing is made if config, inputs or code changed")
    options = parser.parse_args(arguments)
    try:
        given = options.config
        text = given if given.lstrip().startswith("{") else Path(given).read_text(encoding="utf-8")
        config = config_type.model_validate(json.loads(text))
    except ValidationError as error:
        sys.exit("\n".join(f"--config: {line}" for line in describe_all(error.errors(), config_type)))
    except (OSError, json.JSONDecodeError) as error:
        sys.exit(f"--config: neither JSON nor the path of a JSON file: {error}")
    inputs = Inputs((role, Path(folder)) for role, _, folder in (item.partition("=") for item in options.input))
    return config, inputs, options


def run_stage(config_type: type[Strict], run: Callable, arguments: list[str] | None = None) -> None:
    """Run a stage from the command line; `run` takes the config, input folders by role, and the folder to fill."""
    # Imported objects stay. Searching them for garbage, above all at the exit, took two seconds per process.
    gc.freeze()
    gc.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    config, inputs, options = parse(config_type, sys.modules[run.__module__].__doc__, arguments)
    clean_environment(getattr(config, "arithmetic", "portable"))
    name_run(options.output.absolute())
    partial = working_folder(options.output)
    partial.mkdir(parents=True, exist_ok=True)
    # `accelerate launch` starts several processes; only the first locks and writes records.
    if int(os.environ.get("RANK", 0)):
        run(config, inputs, partial)
        return
    # A stage is a module, or a folder whose `__init__` has its function.
    path = Path(run.__code__.co_filename)
    stage, by_name = path.parent.name if path.stem == "__init__" else path.stem, loaded_by_name(config)
    modules = by_name | {f"stages.{stage}"}
    # All code is imported before its digests are taken, so code that is edited meanwhile is neither run nor recorded.
    # A notebook's own process imports the modules of the notebook.
    try:
        for module in by_name - set(getattr(config, "notebook_modules", ())):
            if module.startswith(OWN):
                load_module(module.removeprefix(OWN))
            else:
                importlib.import_module(f"selectimprove.{module}")
        recorder = Recorder(config, inputs, modules)
    except ParamsError as error:
        sys.exit(f"{stage}: {error}")
    if options.key and options.key != artifact_digest(config.model_dump(mode="json"), modules, recorder.input_names):
        remedy = "repeat the command, which plans anew"
        sys.exit(f"{options.output}: its code was edited after this run was planned; {remedy}")
    records = [folder / RECORD for folder in inputs.values()]
    with lock_folder(partial):
        # The previous holder of the lock may have renamed the folder.
        partial.mkdir(exist_ok=True)
        # Another process that shares these results may have made the artifact since this run was planned.
        if is_made(options.output, config, recorder):
            LOG.info("%s is there already", options.output)
            shutil.rmtree(partial, ignore_errors=True)
            date_back(records)
            return
        LOG.info("making %s", options.output)
        try:
            # The config gets its final name when the stage is done. Renaming works even on a full disk.
            done, begun = partial / "config.json", partial / "config.json.begun"
            resumed = begun.exists() or done.exists()
            used = config.model_dump_json(indent=2) + "\n"
            if not (done.exists() and done.read_text(encoding="utf-8") == used):
                require_intact(inputs.values())
                begun.write_text(used, encoding="utf-8")
                run(config, inputs, partial)
                begun.replace(done)
            record = json.dumps(recorder.finish(partial, resumed), indent=2)
            (partial / RECORD).write_text(record + "\n", encoding="utf-8")
        except ParamsError as error:
            if [path.name for path in partial.iterdir()] == [begun.name]:
                shutil.rmtree(partial)
            sys.exit(f"{stage}: {error}")
        except Exception as error:
            if explained := explain(error, options.output):
                traceback.print_exc()
                sys.exit(f"{stage}: {explained}")
            raise
        share_files(partial)
        if options.output.exists():
            # The record is removed first: a process killed here leaves nothing that looks complete.
            (options.output / RECORD).unlink(missing_ok=True)
            shutil.rmtree(options.output)
        os.replace(partial, options.output)
        date_back(records)
        LOG.info("made %s", options.output)
