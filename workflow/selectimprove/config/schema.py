"""Write the JSON schema of `params.yaml`, for editors, and the parameter reference, from the types.

Usage: ``python -m selectimprove.config.schema workflow``
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from selectimprove.types import Strict

# Set only here and before the types are defined: reading their sources takes a tenth of Snakemake's start.
Strict.model_config["use_attribute_docstrings"] = True

from selectimprove.config.params import Params  # noqa: E402

INTRODUCTION = """# Every parameter

Made by `make schema` from the typed config. Values and their sources are in `params.yaml`."""


def write_schema(workflow: Path) -> None:
    """Write the schema, and the reference with a table per section, to subfolders of `workflow`."""
    schema = Params.model_json_schema() | {"title": "params.yaml"}
    parts = [INTRODUCTION, "## params.yaml", _table(schema)]
    for name, section in _sections(schema, schema["$defs"]):
        parts += [f"## {name}", *filter(None, [section.get("description")]), _table(section)]
    schema_text = json.dumps(schema, indent=2, ensure_ascii=False)
    for file, text in (("schemas/params.schema.json", schema_text), ("docs/params.md", "\n\n".join(parts))):
        (workflow / file).parent.mkdir(exist_ok=True)
        (workflow / file).write_text(f"{text}\n", encoding="utf-8")


def _sections(schema: dict, types: dict, prefix: str = "") -> Iterator[tuple[str, dict]]:
    """List sections with their dotted names, each followed by the sections in it."""
    for key, field in schema["properties"].items():
        name = f"{prefix}{key}" + (".<name>" if "additionalProperties" in field else "")
        for kind in _references(field):
            if types[kind].get("properties"):
                yield name, types[kind]
                yield from _sections(types[kind], types, f"{name}.")


def _references(field: dict) -> Iterator[str]:
    """Name the types in a field: its own, and those in mappings, lists and alternatives."""
    if "$ref" in field:
        yield field["$ref"].rpartition("/")[2]
    for inner in (field.get("additionalProperties"), field.get("items"), *field.get("anyOf", [])):
        if isinstance(inner, dict):
            yield from _references(inner)


def _kind(field: dict) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(inner) for inner in field["anyOf"])
    if "$ref" in field:
        return "section"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    return "mapping" if field.get("additionalProperties") else field.get("type", "any")


def _table(section: dict) -> str:
    rows = ["| key | type | default | meaning |", "|:--|:--|:--|:--|"]
    for key, field in section["properties"].items():
        default = "" if key in section.get("required", []) else f"`{json.dumps(field.get('default'))}`"
        rows.append(f"| `{key}` | {_kind(field)} | {default} | {field.get('description', '')} |")
    return "\n".join(rows)


if __name__ == "__main__":
    write_schema(Path(sys.argv[1]))
