"""Why an artifact has to be made: how it differs from the most similar one that is there."""

from pathlib import Path

from selectimprove.artifacts.keys import OWN
from selectimprove.artifacts.provenance import RECORD, read_record
from selectimprove.dag.artifact import RESULTS, Artifact
from selectimprove.dag.table import STAGES
from selectimprove.errors import ParamsError

LONGEST = 40
"""Characters of a value that a reason shows."""
SHOWN = 3
"""Inputs of one kind that a reason names."""


def flatten(content, prefix: str = "") -> dict[str, object]:
    """Flatten nested mappings, joining keys by dots; a list of mappings gives the list of values of each key."""
    if isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        columns = {key: [item.get(key) for item in content] for item in content for key in item}
        content = {
            key: values[0] if all(value == values[0] for value in values) else values for key, values in columns.items()
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
    """Describe how a value changed; of two lists, name only what one of them lacks: ``sft_mixes + F60``."""
    if isinstance(old, list) and isinstance(new, list):
        changes = [f"+ {_shown(item)}" for item in _only_in(new, old)]
        changes += [f"− {_shown(item)}" for item in _only_in(old, new)]
        if changes:
            return f"{key} {' '.join(changes)}"
        if len(old) != len(new):
            return f"{key} {len(old)} → {len(new)} entries"
    return f"{key} {_shown(old)} → {_shown(new)}"


def _only_in(items: list, others: list) -> list:
    """List the items that are not among the others, each once."""
    return [item for at, item in enumerate(items) if item not in others and item not in items[:at]]


def _new_inputs(artifact: Artifact, roles: list[str]) -> list[str]:
    """Name the inputs that are new: ``new sft``, ``new test problems (2-5 and 6-9)``, ``18 new labels``."""
    by_kind: dict[str, list[str]] = {}
    for role in roles:
        source = artifact.inputs[role]
        split = getattr(source.config, "split", "").replace("_", " ")
        by_kind.setdefault(f"{split} {source.stage}".strip(), []).append(role)
    lines = []
    for kind, of_kind in by_kind.items():
        named = [role for role in of_kind if role not in (*STAGES, "policy")]
        if len(of_kind) > SHOWN:
            lines.append(f"{len(of_kind)} new {kind}")
        else:
            lines.append(f"new {kind} ({' and '.join(named)})" if named else f"new {kind}")
    return lines


def _differences(artifact: Artifact, folder: Path) -> list[str] | None:
    """List how an artifact differs from one that is there, in config, source and inputs; None if a record is broken."""
    try:
        provenance, config = (read_record(folder / name) for name in (RECORD, "config.json"))
    except ParamsError:
        return None
    inputs, source = provenance.get("inputs"), provenance.get("source")
    if not isinstance(inputs, dict) or not isinstance(source, dict):
        return None
    old, new = flatten(config), flatten(artifact.config.model_dump(mode="json"))
    found = [
        _change(key, old.get(key, "absent"), new.get(key, "absent"))
        for key in sorted(old.keys() | new.keys())
        if old.get(key) != new.get(key)
    ]
    current = artifact.source
    edited = [name for name in sorted(source) if source[name] != current.get(name)]
    found += [f"source of {name.removeprefix(OWN).replace('.', '/')}.py" for name in edited]
    found += _new_inputs(artifact, [role for role, one in artifact.inputs.items() if one.name != inputs.get(role)])
    return found + [f"no input {role}" for role in sorted(inputs.keys() - artifact.inputs.keys())[:SHOWN]]


def nearest(artifact: Artifact) -> tuple[Path, list[str]] | None:
    """Find the artifact of the same slug, or else stage, that differs in the fewest ways; return it with these."""
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
