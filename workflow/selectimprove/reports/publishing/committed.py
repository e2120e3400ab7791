"""What has been published since the last commit: records of published files, compared with those that git holds."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

from selectimprove.artifacts.provenance import run_git
from selectimprove.reports.publishing.records import read_if_whole


def changes_since_commit(root: Path) -> Iterator[str]:
    """Name the records of published files that differ from those of the last commit, and where the difference begins.

    Nothing is said without git, outside a repository, and of a record that no commit has. A run of one's own differs too: whether
    it should, its owner knows.

    Parameters
    ----------
    root : Path
        The folder below which a scale publishes; the records are in its folder ``published``.

    Yields
    ------
    str
        ``file: differs from the last commit: where``.
    """
    folder = root / "published"
    try:
        names = run_git(Path(), "ls-tree", "--name-only", "HEAD", f"{folder}/").splitlines()
        committed = {name: json.loads(run_git(Path(), "show", f"HEAD:./{name}")) for name in names}
    except (OSError, subprocess.CalledProcessError, ValueError):
        return
    for name, before in committed.items():
        now = read_if_whole(Path(name))
        if now != before:
            yield f"{name}: differs from the last commit: {_first_difference(now, before)}"


def _first_difference(now: dict, before: dict) -> str:
    """Say what differs: of artifacts, those whose own inputs have the records that were committed."""
    if not now:
        return "it is missing or cannot be read"
    recorded, known = now.get("provenance", {}), before.get("provenance", {})
    changed = [name for name, found in recorded.items() if found != known.get(name)]
    first = [name for name in changed if not set(changed).intersection(now.get("made_from", {}).get(name, []))]
    if first:
        more = f", and so have {len(first) - 1} more" if len(first) > 1 else ""
        return f"{first[0]} has another record{more}"
    if files := [name for name, found in now.get("files", {}).items() if found != before.get("files", {}).get(name)]:
        return f"{files[0]} has other content"
    return "it has another key: what composes the files has changed"
