"""The forecast of a run: the artifacts that it would make and why, the figures and tables to draw, and the time."""

from collections import Counter, defaultdict
from collections.abc import Container, Sequence
from functools import partial
from pathlib import Path

from selectimprove.artifacts.keys import OWN
from selectimprove.artifacts.provenance import RECORD, read_if_whole
from selectimprove.config.checks import mistakes_of, require_met
from selectimprove.config.params import Params
from selectimprove.dag.artifact import RESULTS, Artifact, collect_ancestors, needs_of
from selectimprove.dag.costs import describe, expected_seconds, time_left
from selectimprove.dag.plan import Plan
from selectimprove.dag.table import STAGES
from selectimprove.errors import one_line

AUDIT = "audit"
LONGEST = 40
"""Most characters of a value that a reason shows."""
SHOWN = 3
"""Most inputs of one kind that a reason names."""


def forecast(plan: Plan, cores: int, names: Sequence[str] = (), gpus: int = 1) -> str:
    """Describe what `snakemake figures` would do, or `snakemake` with the names of other targets.

    A `ParamsError` says what the params lack for a target. Up to `cores` jobs run at once, on up to `gpus` GPUs.
    """
    named = [name for name in names if name != AUDIT]
    chosen = dict.fromkeys(exhibit for name in named for exhibit in plan.targets[name])
    if AUDIT in names or not names:
        chosen |= plan.audited if AUDIT in names else plan.exhibits
    for name in chosen:
        require_met(plan.params, name)
    exhibits = {name: plan.all_exhibits[name] for name in chosen}
    ends = [*exhibits.values(), *plan.ends_of(named), *([plan.verdicts] if AUDIT in names else [])]
    wanted = Counter(artifact.stage for artifact in collect_ancestors(ends))
    # A finished artifact ends the walk: its inputs are no longer needed.
    pending = collect_ancestors(ends, lambda artifact: not artifact.done.exists())
    left_out = _left_out(plan, set(pending)) if not names else []
    lines = [] if pending else ["Nothing to make: everything asked for is there for these params."]
    for stage in plan.artifacts:
        if artifacts := [artifact for artifact in pending if artifact.stage == stage]:
            lines.append(f"{stage}: {len(artifacts)} of {wanted[stage]} to make")
            planned = plan.artifacts[stage]
            reasons = Counter(explain(artifact, planned).partition(", against ")[0] for artifact in artifacts)
            lines += [f"    {number} × {reason}" for reason, number in reasons.most_common(4)]
    changed = [name for name, artifact in exhibits.items() if not artifact.done.exists()]
    lines.append(f"figures and tables to draw: {', '.join(changed) or 'none'}")
    lines += plan.equal_variants(collect_ancestors(ends))

    known = expected_seconds(plan.params.scale, pending)
    if known:
        needs = partial(needs_of, resources=plan.params.resources)
        left = describe(time_left(known, needs, {"cores": cores, "gpu": gpus}))
        have = f"{cores} core{'s' * (cores > 1)}"
        if any(needs(artifact)["gpu"] for artifact in known):
            have += f" and {gpus} GPU{'s' * (gpus > 1)}"
        lines.append(f"time: {describe(sum(known.values()))} of jobs, about {left} on {have}")
    if unknown := sorted({artifact.stage for artifact in pending if artifact not in known}):
        lines.append(f"time unknown, since none was recorded at this scale: {', '.join(unknown)}")
    if left_out:
        lines.append(f"not in `figures`, but made by name, or all by `extras`: {', '.join(left_out)}")
    return "\n".join(lines)


def _left_out(plan: Plan, pending: set[Artifact]) -> list[str]:
    """List the extras that are still to be made, each with the time that it adds to what comes before it."""
    found, planned = [], set(pending)
    for name, exhibit in plan.extras.items():
        more = set(collect_ancestors([exhibit], lambda artifact: not artifact.done.exists())) - planned
        if more and not mistakes_of(plan.params, name):
            planned |= more
            known = expected_seconds(plan.params.scale, more)
            complete = all(artifact in known for artifact in more)
            found.append(f"{name} ({describe(sum(known.values()))})" if complete else name)
    return found


def explain(artifact: Artifact, planned: Container[str] = ()) -> str:
    """Explain in one line why an artifact has to be made: how it differs from the most similar former one.

    A former one has its slug and is not `planned` today: variants of an experiment are no former states of each other.
    """
    folders = [path.parent for path in (RESULTS / artifact.stage).glob(f"*/{RECORD}")]
    former = [one for one in folders if one.name.rpartition("-")[0] == artifact.slug and one.name not in planned]
    compared = {folder.name: _differences(artifact, folder) for folder in former}
    found = {name: differences for name, differences in compared.items() if differences is not None}
    if not found:
        return "never made"
    name, differences = min(found.items(), key=lambda pair: (len(pair[1]), pair[0]))
    what = "; ".join(differences[:4]) + ("; …" if len(differences) > 4 else "")
    return f"{what or 'source'}, against {name}"


def _differences(artifact: Artifact, folder: Path) -> list[str] | None:
    """List how an artifact differs from an existing one in config, source and inputs; None if a record is broken."""
    provenance, config = (read_if_whole(folder / name) for name in (RECORD, "config.json"))
    if not (provenance and config):
        return None
    inputs, source, current = provenance.get("inputs", {}), provenance.get("source", {}), artifact.source
    old, new = _flatten(config), _flatten(artifact.config.model_dump(mode="json"))
    changed = [key for key in sorted(old.keys() | new.keys()) if old.get(key) != new.get(key)]
    found = [_change(_in_params(artifact, key), old.get(key, "absent"), new.get(key, "absent")) for key in changed]
    edited = [name for name in sorted(source) if source[name] != current.get(name)]
    found += [f"source of {name.removeprefix(OWN).replace('.', '/')}.py" for name in edited]
    found += _new_inputs(artifact, [role for role, one in artifact.inputs.items() if one.name != inputs.get(role)])
    return found + [f"no input {role}" for role in sorted(inputs.keys() - artifact.inputs.keys())[:SHOWN]]


def _flatten(content, prefix: str = "") -> dict[str, object]:
    """Flatten nested mappings, joining keys by dots; a list of mappings gives the list of values of each key."""
    if isinstance(content, list) and content and all(isinstance(item, dict) for item in content):
        columns = {key: [item.get(key) for item in content] for item in content for key in item}
        # A value that all items share is shown once.
        content = {
            key: values[0] if all(value == values[0] for value in values) else values for key, values in columns.items()
        }
    if not isinstance(content, dict):
        return {prefix: content}
    flat = {}
    for key, value in content.items():
        flat |= _flatten(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _in_params(artifact: Artifact, key: str) -> str:
    """Name a value of a stage's config as ``params.yaml`` does: ``sft.learning_rate``, ``tasks.chains.field_order``."""
    section, (name, _, rest) = Params.model_fields.get(artifact.stage), key.partition(".")
    if section and name in getattr(section.annotation, "model_fields", ()):
        return f"{artifact.stage}.{key}"
    return f"tasks.{artifact.config.task_name}.{rest}" if name == "task" else key


def _change(key: str, old: object, new: object) -> str:
    """Describe how a value changed; for lists, only the items that were added or removed: ``sft_mixes + F60``."""
    if isinstance(old, list) and isinstance(new, list):
        added = dict.fromkeys(f"+ {one_line(str(item), LONGEST)}" for item in new if item not in old)
        removed = dict.fromkeys(f"− {one_line(str(item), LONGEST)}" for item in old if item not in new)
        if added or removed:
            return f"{key} {' '.join([*added, *removed])}"
        if len(old) != len(new):
            return f"{key} {len(old)} → {len(new)} entries"
    return f"{key} {one_line(str(old), LONGEST)} → {one_line(str(new), LONGEST)}"


def _new_inputs(artifact: Artifact, roles: list[str]) -> list[str]:
    """Name new inputs: ``new sft``, ``new test problems (2-5 and 6-9)``, ``18 new labels``."""
    by_kind = defaultdict(list)
    for role in roles:
        source = artifact.inputs[role]
        split = getattr(source.config, "split", "").replace("_", " ")
        by_kind[f"{split} {source.stage}".strip()].append(role)
    lines = []
    for kind, of_kind in by_kind.items():
        named = [_spoken(role) for role in of_kind if role not in (*STAGES, "policy")]
        if len(of_kind) > SHOWN:
            lines.append(f"{len(of_kind)} new {kind}")
        else:
            lines.append(f"new {kind}" + (f" ({' and '.join(named)})" if named else ""))
    return lines


def _spoken(role: str) -> str:
    """Return a role in words: of ``policy/default/B/sft/110``, ``B sft 110``."""
    return " ".join(part for part in role.split("/")[role.count("/") > 0 :] if part != "default")
