"""What goes wrong: each function does it to a scene, once, at a moment that the scene's random numbers choose."""

import os
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from scene import PUBLISHED, TABLE, TRAINS, Scene, children, end, start

LIGHT = ("problems", "demonstrations", "labels", "measures", "exhibits", "publish")
MADE = LIGHT[:-1]
EVERY = (*LIGHT, *TRAINS)
FAULTS: dict[str, tuple[Callable[[Scene], None], tuple[str, ...]]] = {}
"""By what people call it: the function, and the stages at which it is tried."""


def fault(name: str, stages: tuple[str, ...] = EVERY):
    def register(function: Callable[[Scene], None]) -> Callable[[Scene], None]:
        FAULTS[name] = function, stages
        return function

    return register


def unmake(scene: Scene) -> None:
    scene.unmake(everything_after=scene.rng.random() < scene.depth)


def signal_all(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


@fault("kill -9 of the stage")
def kill_stage(scene: Scene) -> None:
    unmake(scene)
    process = scene.start()
    if job := scene.job(process):
        scene.wait(scene.seconds)
        signal_all([job], signal.SIGKILL)
    end(process)
    scene.require_whole()


@fault("kill -9 of Snakemake")
def kill_snakemake(scene: Scene) -> None:
    unmake(scene)
    process = scene.start()
    if scene.rng.random() < 0.8:
        scene.job(process)
    scene.wait(scene.seconds)
    process.kill()
    end(process)
    scene.require_whole()


@fault("kill -9 of both")
def kill_both(scene: Scene) -> None:
    unmake(scene)
    process = scene.start()
    scene.wait(1.5 + scene.seconds)
    below = children(process)
    process.kill()
    signal_all(below, signal.SIGKILL)
    end(process)
    scene.require_whole()


def interrupt(scene: Scene, number: signal.Signals) -> None:
    unmake(scene)
    process = scene.start()
    scene.wait(1.5 + scene.seconds)
    sent, running = time.monotonic(), process.poll() is None
    process.send_signal(number)
    end(process, 10)
    assert time.monotonic() - sent < 10
    assert not [child for child in children(process) if child.is_running()]
    said = (scene.folder / "said").read_text()
    # Before the first job there is nothing to say.
    if running and process.returncode and "Execute 1 jobs" in said:
        assert "interrupted; what is complete is kept" in said, said[-2000:]
        assert not list((scene.folder / ".snakemake/locks").glob("*"))
    scene.require_whole()


@fault("SIGINT to Snakemake")
def sigint(scene: Scene) -> None:
    interrupt(scene, signal.SIGINT)


@fault("SIGTERM to Snakemake")
def sigterm(scene: Scene) -> None:
    interrupt(scene, signal.SIGTERM)


def mount_small(scene: Scene) -> Callable[[], None]:
    """Put `results` on a disk of their own, which has some room, but less than is needed; returns what frees some."""
    folder, aside = scene.folder / "results", scene.folder / "aside"
    folder.rename(aside)
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    scene.at_end(lambda: subprocess.run(["umount", "--lazy", folder], check=True))
    shutil.copytree(aside, folder, dirs_exist_ok=True)
    shutil.rmtree(aside)
    usage = os.statvfs(folder)
    used = (usage.f_blocks - usage.f_bfree) * usage.f_frsize

    def resize(size: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)

    resize(used + int(scene.rng.random() * scene.bytes_needed) // 4096 * 4096)
    return lambda: resize(200 * 2**20)


@fault("disk full")
def fill_disk(scene: Scene) -> None:
    unmake(scene)
    free = mount_small(scene)
    process = scene.start()
    end(process)
    scene.require_whole()
    free()


def limit(scene: Scene, what: int, values: tuple[int, int]) -> None:
    """Bound what the process of the stage may have, from a random moment on."""
    unmake(scene)
    process = scene.start()
    if job := scene.job(process):
        scene.wait(scene.seconds / 2)
        low, high = values
        try:
            hard = resource.prlimit(job.pid, what)[1]
            resource.prlimit(job.pid, what, (low + int(scene.rng.random() * (high - low)), hard))
        except ProcessLookupError:
            pass
    end(process)
    scene.require_whole()


@fault("file too large")
def limit_files(scene: Scene) -> None:
    limit(scene, resource.RLIMIT_FSIZE, (0, scene.bytes_needed))


@fault("no memory")
def limit_memory(scene: Scene) -> None:
    limit(scene, resource.RLIMIT_AS, (2**20, 2**29))


@fault("read-only results")
def read_only(scene: Scene) -> None:
    unmake(scene)
    # Root may write everywhere, unless it gives that up.
    words = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    if words and subprocess.run([*words, "true"], capture_output=True).returncode:
        pytest.skip("root cannot give up its rights here")
    scene.checkout.run("chmod -R a-w results")
    assert end(start(scene.folder, *words, "snakemake", "--cores", "1", scene.target))
    said = (scene.folder / "said").read_text().splitlines()
    # Snakemake itself looks at files that are there, such as a table that was published before.
    named = [line for line in said if line.startswith("Write-protected output files")]
    lines = [line for line in said if ": cannot be written by this user; make it writable" in line]
    assert len(lines or named) == 1, said[-30:]
    assert all(line.startswith("results") for line in lines), lines
    scene.require_whole()
    scene.checkout.run("chmod -R u+w results")
    scene.remedies += lines or named


def truncate(path: Path, rng) -> None:
    path.write_bytes(path.read_bytes()[: rng.randrange(path.stat().st_size)])


def flip(path: Path, rng) -> None:
    content = bytearray(path.read_bytes())
    content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def empty(path: Path, rng) -> None:
    path.write_bytes(b"")


def remove(path: Path, rng) -> None:
    path.unlink()


def damage(scene: Scene, change: Callable) -> None:
    """Change a file of an artifact, or of what is published, and ask for what is made from it."""
    if scene.stage == "publish":
        published = [scene.folder / "results/smoke" / name for name in PUBLISHED]
        change(scene.rng.choice([*published, scene.checkout.record_of(TABLE)]), scene.rng)
        # Snakemake sees that a file is missing; that it is another, only verification does.
        done = scene.checkout.run(f"snakemake --cores 1 verify --config 'verify={{only: [{TABLE}]}}'", check=False)
        (line,) = (line for line in done.stderr.splitlines() if re.search("run `.*`$", line))
        scene.remedies.append(line)
        scene.checkout.run(re.search("run `(.*)`$", line)[1])
        return
    folder = scene.folder / "results" / scene.artifact
    file = scene.rng.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
    after = scene.results.after(scene.artifact)
    light = [name for name in after if name.split("/")[0] not in TRAINS]
    gone = scene.rng.choice([light, light[-1:], []])
    for name in gone:
        shutil.rmtree(scene.folder / "results" / name)
    change(file, scene.rng)
    if gone or scene.rng.random() < 0.5:
        shutil.rmtree(scene.folder / "results/smoke")
    scene.may_differ = (scene.artifact,)


for name, change in (
    ("file truncated", truncate),
    ("bit flipped", flip),
    ("file emptied", empty),
    ("file missing", remove),
):
    fault(name)(lambda scene, change=change: damage(scene, change))


@fault("clock set back")
def future(scene: Scene) -> None:
    unmake(scene)
    for path in (scene.folder / "results").rglob("*"):
        stamp = scene.rng.choice([None, 1.0, time.time() + 86400 * 365])
        if stamp:
            os.utime(path, (stamp, stamp))
    scene.require_whole()


@fault("a second call in the folder", LIGHT)
def second_call(scene: Scene) -> None:
    unmake(scene)
    first = scene.start()
    scene.job(first)
    scene.wait(scene.seconds / 2)
    second = scene.start("second")
    end(second)
    end(first)
    assert first.returncode == 0
    said = (scene.folder / "second").read_text()
    assert second.returncode == 0 or "--unlock" in said, said[-2000:]
    scene.require_whole()


@fault("a second clone on the results")
def second_clone(scene: Scene) -> None:
    unmake(scene)
    shared, clone = scene.folder.parent / "shared", scene.folder.parent / "clone"
    (scene.folder / "results").rename(shared)
    (scene.folder / "results").symlink_to(shared)
    shutil.copytree(scene.folder, clone, symlinks=True)
    first = scene.start()
    scene.wait(1.5 + scene.seconds)
    second = scene.start(folder=clone)
    assert [end(first), end(second)] == [0, 0], (scene.folder / "said").read_text() + (clone / "said").read_text()
    scene.require_whole()


@fault("half the artifacts", ("labels", "measures", "exhibits", "sft"))
def half(scene: Scene) -> None:
    scene.unmake(everything_after=True)
    for name in scene.results.artifacts():
        # Models take long to make again.
        if scene.rng.random() < 0.5 and (scene.depth or not name.startswith(TRAINS)):
            shutil.rmtree(scene.folder / "results" / name)
    scene.kept = scene.results.content()
    scene.may_lack = True


@fault("a loss that is not a number", ("rl",))
def not_a_number(scene: Scene) -> None:
    old = "{task: {field_order: 13}}"
    scene.checkout.edit("params.yaml", old, "{task: {field_order: 13}, rl: {learning_rate: 1.0e+30}}")
    done = scene.checkout.run(f"snakemake --cores 1 {scene.target}", check=False)
    assert done.returncode
    lines = [line for line in done.stderr.splitlines() if "broke down; lower a learning rate" in line]
    assert len(lines) == 1, done.stderr[-3000:]
    scene.remedies.append(lines[0])
    scene.checkout.edit("params.yaml", "{task: {field_order: 13}, rl: {learning_rate: 1.0e+30}}", old)
    scene.require_whole()
