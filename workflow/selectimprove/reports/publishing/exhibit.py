"""Publish one figure or table, as soon as it is drawn.

Snakemake runs this as ``python -m selectimprove.reports.publishing.exhibit``. It is told all that it needs, so what is edited meanwhile
changes nothing, and it imports little, so it takes no time.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

from selectimprove.artifacts.locking import lock_folder
from selectimprove.artifacts.provenance import require_intact
from selectimprove.artifacts.writing import drop_temporaries, replace
from selectimprove.errors import ParamsError
from selectimprove.reports.publishing.records import read_if_whole, require_records, write_record


def publish_exhibit(exhibit: Path, name: str, files: list[Path], root: Path) -> None:
    """Copy the files of a figure or table, its metrics, and record that.

    Parameters
    ----------
    exhibit : Path
        The artifact's folder.
    name : str
    files : list of Path
        The published files, named as the artifact's are.
    root : Path
        Below which they lie.

    Raises
    ------
    ParamsError
        If the artifact, or a record behind it, is damaged: then nothing is published.
    """
    require_intact([exhibit])
    require_records(exhibit.parents[1], [exhibit])
    record, shared = root / "published" / f"{name}.json", root / "metrics.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    # One at a time: all tables share one file of metrics, for `dvc metrics`.
    with lock_folder(record.parent):
        drop_temporaries([*files, record, shared])
        for file in files:
            replace(file, lambda temporary, file=file: shutil.copyfile(exhibit / file.name, temporary))
        if (exhibit / "metrics.json").exists():
            metrics = json.loads((exhibit / "metrics.json").read_text(encoding="utf-8"))
            kept = {table: found for table, found in read_if_whole(shared).items() if table != name}
            content = json.dumps(dict(sorted((kept | {name: metrics}).items())), indent=2) + "\n"
            replace(shared, lambda temporary: temporary.write_text(content, encoding="utf-8"))
        write_record(record, exhibit.name, files, [exhibit], exhibit.parents[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("exhibit", type=Path, help="folder of the artifact")
    parser.add_argument("--name", required=True)
    parser.add_argument("--root", required=True, type=Path)
    parser.add_argument("files", nargs="+", type=Path, help="files to write")
    options = parser.parse_args()
    try:
        publish_exhibit(options.exhibit, options.name, options.files, options.root)
    except ParamsError as error:
        sys.exit(str(error))
