"""Records of published files: of which artifact each is a copy, and what this was made from.

``published/<name>.json`` is in git beside the files that it speaks of. It hashes them, and the provenance of every artifact behind them,
which hashes the artifact's own files: so a commit vouches for data that git does not hold.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from selectimprove.artifacts.provenance import RECORD, file_hash, read_own_record, read_record
from selectimprove.artifacts.writing import date_back, replace
from selectimprove.errors import ParamsError


def read_if_whole(path: Path) -> dict:
    """Return a record; an empty one if there is none that can be read."""
    try:
        return read_record(path)
    except ParamsError:
        return {}


def trace(results: Path, artifacts: Iterable[Path]) -> dict[str, list[str]]:
    """Name what artifacts were made from, by their provenance.

    Parameters
    ----------
    results : Path
        The folder of all artifacts.
    artifacts : iterable of Path

    Returns
    -------
    dict of str to list of str
        ``stage/name`` of each artifact and of all behind it, with those it was made from itself. What is not there ends its line.
    """
    made_from, pending = {}, [f"{path.parent.name}/{path.name}" for path in artifacts]
    while pending:
        name = pending.pop(0)
        if name in made_from:
            continue
        provenance = read_if_whole(results / name / RECORD)
        # A name ends with its key, so it is that of one artifact of one stage.
        sources = [sorted(results.glob(f"*/{source}")) for source in provenance.get("inputs", {}).values()]
        made_from[name] = [f"{found[0].parent.name}/{found[0].name}" for found in sources if found]
        pending += made_from[name]
    return made_from


def require_records(results: Path, artifacts: Iterable[Path]) -> None:
    """Read the records of all that artifacts were made from, of what is there: a broken one would end its line.

    Raises
    ------
    ParamsError
        If one is broken; it says which, and what to do.
    """
    for name in trace(results, artifacts):
        if (results / name / RECORD).exists():
            read_own_record(results / name)


def provenance_hashes(results: Path, names: Iterable[str]) -> dict[str, str | None]:
    """Hash the provenance of artifacts; None of one that is not there."""
    paths = {name: results / name / RECORD for name in names}
    return {name: file_hash(path) if path.is_file() else None for name, path in paths.items()}


def write_record(path: Path, key: str, files: Iterable[Path], artifacts: Iterable[Path], results: Path) -> None:
    """Record what was published, as the last step of publishing.

    Parameters
    ----------
    path : Path
        Of the record.
    key : str
        Changes with all that the files are a function of.
    files : iterable of Path
        The published files.
    artifacts : iterable of Path
        Folders of the artifacts that the files show.
    results : Path
        The folder of all artifacts.
    """
    artifacts = list(artifacts)
    made_from = trace(results, artifacts)
    record = {
        "key": key,
        "files": {str(file.relative_to(path.parents[1])): file_hash(file) for file in files},
        "made_from": made_from,
        "provenance": provenance_hashes(results, made_from),
    }
    replace(path, lambda temporary: temporary.write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8"))
    date_back(folder / RECORD for folder in artifacts)
