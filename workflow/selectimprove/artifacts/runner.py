"""The frame of every stage: a resolved config and input folders in, one folder out.

A stage works in ``<output>.partial`` and renames it when all is done, so no folder is ever half-written under its final
name and a killed stage finds its checkpoints again. It holds a lock on that folder: where several people share results, a second
process waits for the first and reuses its result. Beside its data it leaves ``config.json``, everything it used, and
``provenance.json``, how it came about. Any stage runs by hand::

    python -m selectimprove.stages.sft --config results/sft/FB-…/config.json --input base=results/base/… --output /tmp/FB
"""

import argparse
import errno
import gc
import json
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from selectimprove.artifacts.arithmetic import MKL_CBWR
from selectimprove.artifacts.keys import digest
from selectimprove.artifacts.loading import import_by_name, loaded_by_name, stage_of
from selectimprove.artifacts.locking import lock_folder
from selectimprove.artifacts.provenance import RECORD, Recorder, read_record, require_intact
from selectimprove.artifacts.writing import date_back
from selectimprove.config.messages import describe_all
from selectimprove.config.training import REPORT_TO, RUN_NAME
from selectimprove.types import ParamsError, Strict

LOG = logging.getLogger(__name__)


def read_config(text: str) -> dict:
    """Read a resolved config, given as JSON or as the path of a JSON file."""
    return json.loads(text if text.lstrip().startswith("{") else Path(text).read_text(encoding="utf-8"))


class Inputs(dict):
    """Input folders by role; one that a stage needs and was not given is a mistake of its caller."""

    def __missing__(self, role: str):
        raise ParamsError(f"needs --input {role}=FOLDER")


def is_made(output: Path, config: Strict, recorder: Recorder) -> bool:
    """Tell whether a folder is complete, and of this config, source and inputs."""
    try:
        made, used = (read_record(output / name) for name in (RECORD, "config.json"))
    except ParamsError:
        return False
    same = used == config.model_dump(mode="json")
    return same and (made.get("source"), made.get("inputs")) == (recorder.source, recorder.input_names)


def explain(error: Exception, folder: Path) -> str | None:
    """Say what to do about an error that is the machine's or the params' and not the stage's; None for any other."""
    code, said = getattr(error, "errno", None), str(error)
    # Writers of weights and of optimiser states have errors of their own.
    full = code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) or "No space left" in said or "os error 28" in said
    if full or shutil.disk_usage(folder.parent).free == 0:
        return f"{folder.parent}: no space left; free some and repeat the command"
    if code in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.filename or folder}: {error.strerror}; make it writable and repeat the command"
    if isinstance(error, MemoryError) or code == errno.ENOMEM or "allocate memory" in said:
        return "not enough memory; repeat the command with fewer --cores, or where there is more"
    if "probability tensor contains" in said:
        return (
            "a model's probabilities are no numbers, since a training broke down; lower a learning rate in params.yaml"
        )
    return None


def working_folder(output: Path) -> Path:
    """Return where a stage works until all is done."""
    return output.with_name(f"{output.name}.partial")


def drop_other_ranks() -> None:
    """Drop from the environment which of several processes this one is, where it was not started as one of several.

    What another program left there would make of a stage one that waits for others, and writes nothing.
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE"):
            os.environ.pop(name, None)


def name_run(output: Path) -> None:
    """Tell the library that a training reports to, if any, what this run is called, and where its log belongs.

    Beside the checkpoints, where trainers put logs, it would go with them.
    """
    if os.environ.get(REPORT_TO, "none") != "none":
        os.environ[RUN_NAME] = f"{output.parent.name}/{output.name}"
        os.environ.setdefault("TENSORBOARD_LOGGING_DIR", str(output.parents[1] / "tensorboard" / os.environ[RUN_NAME]))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def run_stage(config_type: type[Strict], run: Callable, arguments: list[str] | None = None) -> None:
    """Run one stage from the command line.

    Parameters
    ----------
    config_type : type
        The stage's config; what is given must fit it exactly.
    run : callable
        ``run(config, inputs, folder)`` with the typed config, a dict of input folders by role, and the folder to write
        into. The folder may hold what an earlier, killed run of the same stage left there.
    arguments : list of str, optional
        Instead of ``sys.argv``.
    """
    # What imports made stays. Searching it for garbage, at the exit most of all, took two seconds of a process.
    gc.freeze()
    gc.enable()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    parser = argparse.ArgumentParser(description=sys.modules[run.__module__].__doc__)
    parser.add_argument("--config", required=True, help="resolved config: JSON, or the path of a JSON file")
    parser.add_argument("--input", action="append", default=[], metavar="ROLE=FOLDER", help="an input folder")
    parser.add_argument("--output", required=True, type=Path, help="the folder to make")
    parser.add_argument("--source", help="digest of the source that the output's key stands for; another is refused")
    options = parser.parse_args(arguments)
    try:
        config = config_type.model_validate(read_config(options.config))
    except ValidationError as error:
        sys.exit("\n".join(f"--config: {line}" for line in describe_all(error.errors(), config_type)))
    except (OSError, json.JSONDecodeError) as error:
        sys.exit(f"--config: neither JSON nor the path of a JSON file: {error}")
    inputs = Inputs((role, Path(folder)) for role, _, folder in (item.partition("=") for item in options.input))
    for role, folder in inputs.items():
        if not folder.is_dir():
            sys.exit(f"--input {role}={folder}: there is no such folder")

    if arithmetic := getattr(config, "arithmetic", None):
        # A key stands for this, whatever the environment says.
        os.environ["MKL_CBWR"] = MKL_CBWR[arithmetic]
    drop_other_ranks()
    name_run(options.output.absolute())
    partial = working_folder(options.output)
    partial.mkdir(parents=True, exist_ok=True)
    # Of several processes that `accelerate launch` started, the first locks and writes.
    if int(os.environ.get("RANK", 0)):
        run(config, inputs, partial)
        return
    stage, by_name = stage_of(run), loaded_by_name(config)
    # All code is read before its digests are, so that what is edited while this waits or runs is neither run nor recorded. What a notebook
    # imports, a process of its own reads.
    try:
        for module in by_name - set(getattr(config, "notebook_modules", ())):
            import_by_name(module)
        recorder = Recorder(config, inputs, frozenset({f"stages.{stage}"}) | by_name)
    except ParamsError as error:
        sys.exit(f"{stage}: {error}")
    if options.source and digest(recorder.source) != options.source:
        sys.exit(
            f"{options.output}: its code was edited after this run was planned; repeat the command, which plans anew"
        )
    records = [folder / RECORD for folder in inputs.values()]
    with lock_folder(partial):
        # Who had the lock may have renamed it.
        partial.mkdir(exist_ok=True)
        # Whoever shares these results may have made it since this run was planned.
        if is_made(options.output, config, recorder):
            LOG.info("%s is there already", options.output)
            shutil.rmtree(partial, ignore_errors=True)
            date_back(records)
            return
        LOG.info("making %s", options.output)
        try:
            # It gets its name when the stage is done, for which no disk is too full. So who is stopped after that repeats no training.
            done, begun = partial / "config.json", partial / "config.json.begun"
            resumed = begun.exists() or done.exists()
            used = config.model_dump_json(indent=2) + "\n"
            if not (done.exists() and done.read_text(encoding="utf-8") == used):
                require_intact(inputs.values())
                begun.write_text(used, encoding="utf-8")
                run(config, inputs, partial)
                begun.replace(done)
            (partial / RECORD).write_text(
                json.dumps(recorder.finish(partial, resumed), indent=2) + "\n", encoding="utf-8"
            )
        except ParamsError as error:
            if [path.name for path in partial.iterdir()] == [begun.name]:
                shutil.rmtree(partial)
            sys.exit(f"{stage}: {error}")
        except Exception as error:
            if explained := explain(error, options.output):
                traceback.print_exc()
                sys.exit(f"{stage}: {explained}")
            raise
        readable = 0o666 & ~_umask()
        for path in partial.rglob("*"):
            if path.is_file():
                # Weights are written for their owner alone, whatever the umask says; results may be shared.
                path.chmod(readable)
        if options.output.exists():
            # Its record goes first: a kill meanwhile leaves nothing that looks complete.
            (options.output / RECORD).unlink(missing_ok=True)
            shutil.rmtree(options.output)
        os.replace(partial, options.output)
        date_back(records)
        LOG.info("made %s", options.output)
