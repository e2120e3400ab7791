"""Why an artifact has to be made: what differs from the most alike one that is there."""

from collections.abc import Iterator
from pathlib import Path

from selectimprove.artifacts.keys import OWN, source_digests
from selectimprove.artifacts.provenance import RECORD, read_record
from selectimprove.dag.artifact import RESULTS, Artifact
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError

LONGEST = 40
"""Characters of a value that a reason shows."""
SHOWN = 3
"""Inputs of one kind that a reason names."""


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


def _change(key: str, old: object, new: object) -> str:
    """Say how a value changed; of two lists, what only one of them has: ``sft_mixes + F60``."""
    if isinstance(old, list) and isinstance(new, list):
        changes = [f"+ {_shown(item)}" for item in _only_in(new, old)] + [
            f"− {_shown(item)}" for item in _only_in(old, new)
        ]
        if changes:
            return f"{key} {' '.join(changes)}"
        if len(old) != len(new):
            return f"{key} {len(old)} → {len(new)} entries"
    return f"{key} {_shown(old)} → {_shown(new)}"


def _only_in(these: list, those: list) -> list:
    """List what is among these and not among those, each once."""
    return [item for at, item in enumerate(these) if item not in those and item not in these[:at]]


def _new_inputs(artifact: Artifact, roles: list[str]) -> Iterator[str]:
    """Say which inputs are new: ``new sft``, ``new test problems (2-5 and 6-9)``, ``18 new labels``."""
    by_kind: dict[str, list[str]] = {}
    for role in roles:
        source = artifact.inputs[role]
        split = getattr(source.config, "split", "").replace("_", " ")
        by_kind.setdefault(f"{split} {source.stage}".strip(), []).append(role)
    for kind, of_kind in by_kind.items():
        if len(of_kind) > SHOWN:
            yield f"{len(of_kind)} new {kind}"
        else:
            named = [role for role in of_kind if role not in (*STAGES, "policy")]
            yield f"new {kind} ({' and '.join(named)})" if named else f"new {kind}"


def _differences(artifact: Artifact, folder: Path) -> list[str] | None:
    """Say how an artifact differs from one that is there: in its own config and source, then in its inputs; None if its record is broken."""
    try:
        provenance, config = (read_record(folder / name) for name in (RECORD, "config.json"))
    except ParamsError:
        return None
    before = provenance.get("inputs")
    recorded = provenance.get("source")
    if not isinstance(before, dict) or not isinstance(recorded, dict):
        return None
    old = flatten(config)
    new = flatten(artifact.config.model_dump(mode="json"))
    found = [
        _change(key, old.get(key, "absent"), new.get(key, "absent"))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    current = source_digests(artifact.modules)
    found += [
        f"source of {name.removeprefix(OWN).replace('.', '/')}.py"
        for name in sorted(recorded)
        if recorded[name] != current.get(name)
    ]
    changed = [role for role, source in artifact.inputs.items() if source.name != before.get(role)]
    found += [*_new_inputs(artifact, changed)]
    found += [f"no input {role}" for role in sorted(before.keys() - artifact.inputs.keys())[:SHOWN]]
    return found


def nearest(artifact: Artifact) -> tuple[Path, list[str]] | None:
    """Find the folder of the same slug, or else of the same stage, that differs in the fewest ways.

    Returns
    -------
    (Path, list of str) or None
        The folder and the differences; None if the stage has never run, or nothing readable is left of it.
    """
    folders = [path.parent for path in (RESULTS / artifact.stage).glob(f"*/{RECORD}")]
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
