"""The memory that jobs are promised: the least of the machine's and of what control groups allow."""

import psutil
import pytest
import yte

from conftest import ROOT

PROFILE = (ROOT / "profiles/default/config.yaml").read_text()


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/", {"memory.max": "512"}, 512),
        ("0::/user.slice/job.scope", {"user.slice/job.scope/memory.max": "max", "user.slice/memory.max": "256"}, 256),
        ("0::/other.slice", {"user.slice/memory.max": "256"}, None),
        ("4:cpu,memory:/slurm/job_3/step_0\n0::/", {"memory/slurm/job_3/memory.limit_in_bytes": "128"}, 128),
        # A container sees its own group as the root of the tree, and a path of the host's.
        ("4:memory:/docker/1f", {"memory/memory.limit_in_bytes": "64"}, 64),
        ("4:memory:/a", {"memory/a/memory.limit_in_bytes": str(9223372036854771712 >> 20)}, None),
        (None, {}, None),
    ],
)
def test_the_least_limit_on_the_path_of_the_control_group_counts(tmp_path, groups, limits, expected):
    (tmp_path / "tree").mkdir()
    if groups is not None:
        (tmp_path / "cgroup").write_text(groups)
    for file, mebibytes in limits.items():
        path = tmp_path / "tree" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(mebibytes if mebibytes == "max" else str(int(mebibytes) * 2**20))
    text = PROFILE.replace("/proc/self/cgroup", str(tmp_path / "cgroup")).replace(
        "/sys/fs/cgroup", str(tmp_path / "tree")
    )
    total = psutil.virtual_memory().total // 2**20
    assert yte.process_yaml(text)["resources"]["mem_mb"] == (total if expected is None else expected)
