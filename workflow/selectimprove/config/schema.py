"""Generate the JSON schema of `params.yaml`, for editors, and the parameter reference, for people, from the types."""

import ast
import inspect
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from selectimprove.config.params import Params
from selectimprove.types import Strict

WORKFLOW = Path(__file__).parents[2]
SCHEMA = WORKFLOW / "schemas" / "params.schema.json"
REFERENCE = WORKFLOW / "docs" / "params.md"


class Described(GenerateJsonSchema):
    """Describe each field by the string below it.

    Pydantic's `use_attribute_docstrings` reads the sources at import: a tenth of the start of Snakemake.
    """

    def model_schema(self, schema: dict) -> JsonSchemaValue:
        described = super().model_schema(schema)
        texts = _strings_below_fields(schema["cls"])
        for name in texts.keys() & schema["cls"].model_fields:
            described["properties"][name].setdefault("description", texts[name])
        return described


def schema_text() -> str:
    """Return the schema, for ``workflow/schemas``."""
    return json.dumps(_schema() | {"title": "params.yaml"}, indent=2, ensure_ascii=False) + "\n"


def reference_text() -> str:
    """Return the reference, for ``workflow/docs``: a table per section of `params.yaml`."""
    schema = _schema()
    intro = "Made by `make schema` from the typed config. Values and their sources are in `params.yaml`."
    parts = ["# Every parameter", intro, "## params.yaml", _table(schema)]
    for name, section in _sections(schema, schema["$defs"]):
        parts += [f"## {name}", section.get("description", ""), _table(section)]
    return "\n\n".join(filter(None, parts)) + "\n"


def _schema() -> dict:
    return Params.model_json_schema(schema_generator=Described)


def _strings_below_fields(config: type[Strict]) -> dict[str, str]:
    strings = {}
    for base in reversed(config.__mro__):
        for field, below in pairwise(_body_of(base)):
            match field, below:
                case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(text))):
                    strings[name] = inspect.cleandoc(text)
    return strings


def _body_of(base: type) -> list[ast.stmt]:
    try:
        return ast.parse(inspect.getsource(base)).body[0].body if issubclass(base, Strict) else []
    except OSError:
        # `create_model` made it: it has no source of its own.
        return []


def _references(field: dict) -> Iterator[str]:
    """Name the types that a field's values have, also inside of mappings, lists and alternatives."""
    if "$ref" in field:
        yield field["$ref"].rpartition("/")[2]
    for inner in (field.get("additionalProperties"), field.get("items"), *field.get("anyOf", [])):
        if isinstance(inner, dict):
            yield from _references(inner)


def _sections(schema: dict, types: dict, prefix: str = "") -> Iterator[tuple[str, dict]]:
    for key, field in schema["properties"].items():
        name = f"{prefix}{key}" + (".<name>" if "additionalProperties" in field else "")
        for kind in _references(field):
            if types[kind].get("properties"):
                yield name, types[kind]
                yield from _sections(types[kind], types, f"{name}.")


def _kind(field: dict) -> str:
    if "anyOf" in field:
        return " or ".join(_kind(inner) for inner in field["anyOf"])
    if "$ref" in field:
        return "section"
    if "enum" in field:
        return ", ".join(f"`{value}`" for value in field["enum"])
    if "additionalProperties" in field and field["additionalProperties"] is not False:
        return "mapping"
    return field.get("type", "any")


def _table(section: dict) -> str:
    required = section.get("required", [])
    rows = ["| key | type | default | meaning |", "|:--|:--|:--|:--|"]
    for key, field in section["properties"].items():
        default = "" if key in required else f"`{json.dumps(field.get('default'))}`"
        rows.append(f"| `{key}` | {_kind(field)} | {default} | {field.get('description', '')} |")
    return "\n".join(rows)


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")
    REFERENCE.write_text(reference_text(), encoding="utf-8")
