"""A real Slurm of one node on this machine, for tests: munged, slurmctld and slurmd with all their state in one folder."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
SETTINGS = Path("/etc/slurm")
"""Where jobs look for the configuration: they do not inherit the variable that would name another place."""

CONFIG = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
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
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory={memory} Gres=gpu:fake:1 State=UNKNOWN
PartitionName=debug Nodes={host} Default=YES MaxTime=120 State=UP
"""


def is_installed() -> bool:
    """Tell whether the daemons are there and may be started: as root, who runs other users' jobs, where no Slurm is set up."""
    unused = not (SETTINGS / "slurm.conf").exists()
    return (
        unused
        and os.getuid() == 0
        and all(shutil.which(daemon, path=f"{os.environ['PATH']}:/usr/sbin") for daemon in DAEMONS)
    )


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
        self.daemons: list[subprocess.Popen] = []
        self.environment = os.environ | {"PATH": f"{os.environ['PATH']}:/usr/sbin"}

    def start(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        key = self.folder / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        SETTINGS.mkdir(exist_ok=True)
        (SETTINGS / "slurm.conf").write_text(
            CONFIG.format(
                host=socket.gethostname().partition(".")[0],
                folder=self.folder,
                controller=free_port(),
                node=free_port(),
                cores=os.cpu_count(),
                memory=int(memory * 0.9),
            )
        )
        (SETTINGS / "cgroup.conf").write_text("CgroupPlugin=autodetect\nIgnoreSystemd=yes\n")
        # A GPU only to be counted, and asked for; any device will do.
        (SETTINGS / "gres.conf").write_text("Name=gpu Type=fake File=/dev/null\n")
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
        self._launch("munged", "--foreground", "--force", f"--socket={self.folder}/munge.socket", *files)
        self._wait("munge", lambda: (self.folder / "munge.socket").exists())
        self._launch("slurmctld", "-D")
        self._launch("slurmd", "-D")
        self._wait("an idle node", lambda: "idle" in self.run("sinfo --noheader --format %T"))

    def _launch(self, daemon: str, *arguments: str) -> None:
        log = (self.folder / f"{daemon}.out").open("w")
        process = subprocess.Popen([daemon, *arguments], env=self.environment, stdout=log, stderr=log)
        self.daemons.append(process)

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
        for process in reversed(self.daemons):
            process.terminate()
        for process in self.daemons:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        for name in ("slurm.conf", "cgroup.conf", "gres.conf"):
            (SETTINGS / name).unlink(missing_ok=True)
