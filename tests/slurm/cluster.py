"""A real Slurm of two nodes on this machine, for tests: munged, slurmctld and a slurmd for each node, with all their state in one folder."""

import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

NODES = ("left", "right")
DAEMONS = ("munged", "slurmctld", "slurmd")
SETTINGS = Path("/etc/slurm")
"""Where jobs look for the configuration: they do not inherit the variable that would name another place."""

CONFIG = """# By the tests of a Snakemake workflow; may go when none of them runs.
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
ReturnToService=2
MinJobAge=300
KillWait=5
SlurmdTimeout=10
SlurmdParameters=config_overrides
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
PartitionName=debug Nodes=ALL Default=YES MaxTime=120 State=UP
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cores} RealMemory={memory} Gres=gpu:fake:1\n"


def is_installed() -> bool:
    """Tell whether the daemons are there and may be started: as root, who runs other users' jobs, where no Slurm is set up."""
    config = SETTINGS / "slurm.conf"
    # Tests that were killed leave theirs, and whoever asks for a controller waits for one that is gone.
    left = config.exists() and config.read_text().startswith(CONFIG.splitlines()[0]) and not is_running("slurmctld")
    return (
        (left or not config.exists())
        and os.getuid() == 0
        and all(shutil.which(daemon, path=f"{os.environ['PATH']}:/usr/sbin") for daemon in DAEMONS)
    )


def is_running(name: str) -> bool:
    return any(process.info["name"] == name for process in psutil.process_iter(["name"]))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Cluster:
    """Slurm, from `start` to `stop`.

    Parameters
    ----------
    folder : Path
        For configuration, state and logs.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.daemons: dict[str, subprocess.Popen] = {}
        self.environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}

    def start(self) -> None:
        (self.folder / "state").mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        share = {"cores": max(os.cpu_count() // len(NODES), 1), "memory": int(memory * 0.9) // len(NODES)}
        host = socket.gethostname().partition(".")[0]
        config = CONFIG.format(host=host, folder=self.folder, controller=free_port())
        nodes = [NODE.format(name=name, host=host, port=free_port(), **share) for name in NODES]
        SETTINGS.mkdir(exist_ok=True)
        (SETTINGS / "slurm.conf").write_text(config + "".join(nodes))
        (SETTINGS / "cgroup.conf").write_text("CgroupPlugin=autodetect\nIgnoreSystemd=yes\n")
        # A GPU only to be counted, and asked for; any device will do.
        (SETTINGS / "gres.conf").write_text("Name=gpu Type=fake File=/dev/null\n")
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        self._launch("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *files)
        self._wait("munge", lambda: (self.folder / "munge.socket").exists())
        self._launch("slurmctld", "-D")
        for node in NODES:
            self.start_node(node)

    def start_node(self, node: str) -> None:
        """Start a node, or start it again."""
        self._launch("slurmd", "-D", "-N", node, name=node)
        self._wait(f"idle node {node}", lambda: "idle\n" in self.run(f"sinfo --noheader --format %T --nodes {node}"))

    def kill_node(self, node: str) -> None:
        """Kill at once all that runs on a node, as when its power fails: its daemon, and its jobs with those that look after them."""
        jobs = self.run(f"squeue --noheader --format %i --nodelist {node}").split()
        self.daemons[node].kill()
        stepd = [f"slurmstepd: [{job}." for job in jobs]
        # Those first who would tell the controller how a job ended.
        for is_lost in (
            lambda process: " ".join(process.cmdline()).startswith(tuple(stepd)),
            lambda process: process.environ().get("SLURMD_NODENAME") == node,
        ):
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    if is_lost(process):
                        process.kill()

    def _launch(self, daemon: str, *arguments: str, name: str | None = None) -> None:
        name = name or daemon
        log = (self.folder / f"{name}.out").open("w")
        self.daemons[name] = subprocess.Popen([daemon, *arguments], env=self.environment, stdout=log, stderr=log)

    def _wait(self, what: str, is_there, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not is_there():
            if time.monotonic() > end:
                logs = "\n".join(path.read_text()[-1500:] for path in self.folder.glob("*.out"))
                raise TimeoutError(f"no {what} after {seconds:.0f} s\n{logs}")
            time.sleep(0.2)

    def run(self, command: str) -> str:
        """Run a command of Slurm and return what it prints, nothing if it fails."""
        return subprocess.run(command.split(), env=self.environment, capture_output=True, text=True).stdout

    def stop(self) -> None:
        for process in reversed(self.daemons.values()):
            process.terminate()
        for process in self.daemons.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        for name in ("slurm.conf", "cgroup.conf", "gres.conf"):
            (SETTINGS / name).unlink(missing_ok=True)
