"""A repository in which something is to go wrong: runs in it, and what must be true of its results then and at the end."""

import contextlib
import hashlib
import json
import random
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path

import psutil

from conftest import ENVIRONMENT, Checkout, restore_interrupts, runs

TABLE = "rates"
PUBLISHED = ("tables/rates.csv", "tables/rates.md")
TRAINS = ("base", "sft", "rl", "evaluation")
SUPPORT = ("*.partial", "*.partial.lock", "*.tmp", "published.lock")
"""What lies beside results while they are made."""
OLDER = "{}\n"
"""What other params published."""
FORKS = "selectimprove.artifacts.forking"
"""In the command of the server that forks jobs, and of what it forks."""
STATES = re.compile(r"optimizer|scheduler|rng_state|trainer_state|training_args|/trainer/")


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def start(folder: Path, *words: str, log: str = "said") -> subprocess.Popen:
    """Start a command as a terminal does; what it says goes to a file."""
    with (folder / log).open("w") as said:
        return subprocess.Popen(
            words,
            cwd=folder,
            env=ENVIRONMENT,
            start_new_session=True,
            preexec_fn=restore_interrupts,
            stdout=subprocess.DEVNULL,
            stderr=said,
        )


class Results:
    """The folder ``results`` of a checkout, read by other code than the package's."""

    def __init__(self, folder: Path):
        self.folder = folder / "results"

    def artifacts(self) -> dict[str, dict]:
        """Return the record of each artifact that looks complete, by ``stage/name``."""
        paths = [path for path in self.folder.glob("*/*/provenance.json") if path.parent.suffix != ".partial"]
        return {f"{path.parts[-3]}/{path.parts[-2]}": self._read(path) for path in paths}

    @staticmethod
    def _read(path: Path) -> dict:
        try:
            return json.loads(path.read_text())
        except ValueError:
            return {}

    def sources(self, name: str) -> list[str]:
        """Name what an artifact was made from."""
        wanted = set(self.artifacts()[name].get("inputs", {}).values())
        return [other for other in self.artifacts() if other.split("/")[1] in wanted]

    def after(self, name: str) -> list[str]:
        """Name all that an artifact is behind, each after what it was made from."""
        sources = {other: self.sources(other) for other in self.artifacts()}
        found = []
        for other in TopologicalSorter(sources).static_order():
            if {name, *found}.intersection(sources[other]):
                found.append(other)
        return found

    def content(self) -> dict[str, str]:
        """Hash all that has to be the same in every run: the files of artifacts, and what is published."""
        paths = [path for name in self.artifacts() for path in (self.folder / name).rglob("*") if path.is_file()]
        paths += [self.folder / "smoke" / name for name in PUBLISHED if (self.folder / "smoke" / name).exists()]
        # Executed notebooks and records hold times.
        timed = ("provenance.json", "notebook.ipynb")
        return {str(path.relative_to(self.folder)): sha256(path) for path in paths if path.name not in timed}

    def damaged(self) -> list[str]:
        """Name files of artifacts that look complete and are not as they were recorded."""
        return [
            f"{name}/{file}"
            for name, record in self.artifacts().items()
            for file, expected in record.get("files", {}).items()
            if not (self.folder / name / file).is_file() or sha256(self.folder / name / file) != expected
        ]

    def support(self) -> list[Path]:
        return [path for pattern in SUPPORT for path in self.folder.rglob(pattern)]


class Scene:
    """A copy of a repository where everything is made, of which an artifact is to be made again.

    Parameters
    ----------
    undisturbed : Checkout
    folder : Path
        For the copy.
    stage : str
        Where it goes wrong; ``publish`` for the copies that people read.
    rng : random.Random
    depth : float
        How often all that the artifact is behind is to be made again, too.
    """

    def __init__(self, undisturbed: Checkout, folder: Path, stage: str, rng: random.Random, depth: float):
        self.checkout, self.stage, self.rng = undisturbed.copy(folder / "repository"), stage, rng
        self.folder = self.checkout.folder
        self.results = Results(self.folder)
        self.expected = Results(undisturbed.folder).content()
        self.depth = depth
        self.remedies: list[str] = []
        self.may_differ: tuple[str, ...] = ()
        self.may_lack = False
        self._endings: list[Callable[[], object]] = []
        self.kept: dict[str, str] = {}
        self.target, self.seconds, self.artifact = TABLE, 1.0, None
        self.bytes_needed = 40_000
        if stage != "publish":
            names = sorted(name for name in self.results.artifacts() if name.startswith(f"{stage}/"))
            self.artifact = rng.choice(names)
            self.seconds = self.results.artifacts()[self.artifact]["seconds"]
            self.bytes_needed = sum(
                path.stat().st_size for path in (self.folder / "results" / self.artifact).rglob("*")
            )

    def at_end(self, ending: Callable[[], object]) -> None:
        self._endings.append(ending)

    def leave(self) -> None:
        for ending in self._endings:
            ending()

    def unmake(self, everything_after: bool) -> None:
        """Take the artifact away, or what is published, and ask for it; with it, all that it is behind."""
        if self.artifact and not everything_after:
            self.target = f"results/{self.artifact}/provenance.json"
        gone = [self.artifact] if self.artifact else []
        if self.artifact and everything_after:
            gone += self.results.after(self.artifact)
        for name in gone:
            shutil.rmtree(self.folder / "results" / name)
        if everything_after or self.stage == "publish":
            older, record = self.rng.random() < 0.5, self.checkout.record_of(TABLE)
            record = record.rename(record.with_name(f"{TABLE}-0123456789.json"))
            for file in (*(self.folder / "results/smoke" / name for name in PUBLISHED), record):
                file.write_text(OLDER) if older else file.unlink()
        self.kept = self.results.content()

    def start(self, log: str = "said", folder: Path | None = None) -> subprocess.Popen:
        return start(folder or self.folder, "snakemake", "--cores", "1", self.target, log=log)

    def job(self, process: subprocess.Popen) -> psutil.Process | None:
        """Wait for the process below Snakemake's that runs the stage; None if Snakemake, or the job, ended without."""
        module = "selectimprove.reports.publish" if self.stage == "publish" else f"selectimprove.stages.{self.stage}"

        def is_asked(child: psutil.Process) -> bool:
            words = child.cmdline()
            return "python" in Path(words[0] if words else "").name and any(word.startswith(module) for word in words)

        def is_forked(child: psutil.Process) -> bool:
            parent = child.parent()
            return parent is not None and FORKS in child.cmdline() and FORKS in parent.cmdline()

        asked = wait_below(process, is_asked)
        # What Snakemake started waits for what is forked for it; what publishes is not forked.
        return asked if asked is None or self.stage == "publish" else wait_below(process, is_forked, asked)

    def wait(self, seconds: float) -> None:
        """Wait for a random share of some seconds."""
        time.sleep(self.rng.random() * seconds)

    def require_whole(self, but: tuple[str, ...] = ()) -> None:
        """Check, after a fault, that nothing is half-written under its name, that nothing complete is lost and no state to be shared.

        Parameters
        ----------
        but : tuple of str
            Files that the fault itself damaged.
        """
        assert set(self.results.damaged()) <= set(but)
        found = self.results.content()
        older = hashlib.sha256(OLDER.encode()).hexdigest()
        wrong = {name for name, content in found.items() if content not in (self.expected.get(name), older)}
        assert wrong <= set(but) | self.foreign(found)
        assert not {name for name in self.kept if name not in found} - set(but)
        shared = [name for name in found if STATES.search(name)]
        assert not shared

    def foreign(self, found: dict[str, str]) -> set[str]:
        """Name the files of artifacts of other params."""
        known = {"/".join(name.split("/")[:2]) for name in self.expected}
        return {name for name in found if "/".join(name.split("/")[:2]) not in known}

    def run_again(self) -> str:
        """Run again, and do what a line says where it is needed; returns whether that was needed."""
        for _ in range(6):
            done = self.checkout.run(f"timeout 300 snakemake --cores 1 {self.target}", check=False)
            if done.returncode == 0:
                return "named" if self.remedies else "the same"
            self.heed(done.stderr)
        raise AssertionError(self.remedies)

    def heed(self, said: str) -> None:
        """Do what the one line says that names a remedy."""
        if "--unlock" in said:
            self.remedies.append("--unlock")
            self.checkout.run("snakemake --unlock")
            return
        lines = [line for line in said.splitlines() if re.search(r"; (remove|make) .* and repeat the command", line)]
        assert len(lines) == 1, said[-3000:]
        folder = re.search(r"; remove (\S+) and repeat", lines[0])[1]
        assert folder in lines[0].split("; remove")[0], lines[0]
        shutil.rmtree(self.folder / folder)
        self.remedies.append(lines[0])

    def require_same(self) -> None:
        """Check that everything is there again as in the undisturbed run, and nothing besides."""
        found = self.results.content()
        lacking = {name for name in self.expected.keys() - found.keys() if not (self.may_lack and name[:5] != "smoke")}
        different = {name for name in found if found[name] != self.expected.get(name)} - self.foreign(found)
        # A file that nothing was made from since may be as the fault left it.
        assert not {name for name in lacking | different if not name.startswith(self.may_differ or "-")}
        ours = tuple(name.split("/")[1] for name in self.expected)
        # What other params were to make stays where it was cut short.
        assert not [path for path in self.results.support() if path.suffix != ".partial" or path.name.startswith(ours)]
        record = json.loads(self.checkout.record_of(TABLE).read_text())
        for name, content in record["files"].items():
            assert sha256(self.folder / "results/smoke" / name) == content


def children(process: subprocess.Popen) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def wait_below(
    process: subprocess.Popen, wanted: Callable[[psutil.Process], bool], job: psutil.Process | None = None
) -> psutil.Process | None:
    """Wait for a process below another, for as long as that runs, and a job of it if one is named."""
    while process.poll() is None and (job is None or runs(job)):
        for child in children(process):
            with contextlib.suppress(psutil.Error):
                if wanted(child):
                    return child
        time.sleep(0.02)
    return None


def end(process: subprocess.Popen, seconds: float = 300) -> int:
    return process.wait(seconds)
