"""Why an artifact has to be made: what differs from the most alike one that is there."""

from pathlib import Path

from selectimprove.artifacts.keys import source_digests
from selectimprove.artifacts.provenance import read_record
from selectimprove.dag.artifact import RESULTS, Artifact
from selectimprove.errors import ParamsError

LONGEST = 40
"""Characters of a value that a reason shows."""


def flatten(content, prefix: str = "") -> dict[str, object]:
    """Turn nested mappings into one, keys joined by dots; a list of mappings gives the values of each key."""
    if isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        columns = {key: [item.get(key) for item in content] for item in content for key in item}
        content = {
            key: values[0] if values.count(values[0]) == len(values) else values for key, values in columns.items()
        }
    if not isinstance(content, dict):
        return {prefix: content}
    flat = {}
    for key, value in content.items():
        flat |= flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _differences(artifact: Artifact, folder: Path) -> list[str] | None:
    """Say how an artifact differs from one that is there: in its own config and source, then in its inputs; None if its record is broken."""
    try:
        provenance, config = (read_record(folder / name) for name in ("provenance.json", "config.json"))
    except ParamsError:
        return None
    before = provenance.get("inputs")
    recorded = provenance.get("source")
    if not isinstance(before, dict) or not isinstance(recorded, dict):
        return None
    old = flatten(config)
    new = flatten(artifact.config.model_dump(mode="json"))
    found = [
        f"{key} {_shown(old.get(key, 'absent'))} → {_shown(new.get(key, 'absent'))}"
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    current = source_digests(artifact.modules)
    found += [
        f"source of {name.replace('.', '/')}.py" for name in sorted(recorded) if recorded[name] != current.get(name)
    ]
    inputs = {role: source.name for role, source in artifact.inputs.items()}
    changed = sorted(role for role in inputs.keys() | before.keys() if inputs.get(role) != before.get(role))
    if changed:
        shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        found.append(f"new input {shown}")
    return found


def nearest(artifact: Artifact) -> tuple[Path, list[str]] | None:
    """Find the folder of the same slug, or else of the same stage, that differs in the fewest ways.

    Returns
    -------
    (Path, list of str) or None
        The folder and the differences; None if the stage has never run, or nothing readable is left of it.
    """
    folders = [path.parent for path in (RESULTS / artifact.stage).glob("*/provenance.json")]
    same_slug = [folder for folder in folders if folder.name.rpartition("-")[0] == artifact.slug]
    compared = [(folder, _differences(artifact, folder)) for folder in same_slug or folders]
    known = [(folder, differences) for folder, differences in compared if differences is not None]
    return min(known, key=lambda pair: (len(pair[1]), pair[0].name), default=None)


def explain(artifact: Artifact) -> str:
    """Say in a line why an artifact has to be made."""
    found = nearest(artifact)
    if found is None:
        return "never made"
    folder, differences = found
    what = "; ".join(differences[:4]) + ("; …" if len(differences) > 4 else "")
    return f"{what or 'source'}, against {folder.name}"
