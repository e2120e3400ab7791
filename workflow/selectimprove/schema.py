"""The JSON schema of `params.yaml`, generated from the typed config; editors complete and check with it."""

import json
from pathlib import Path

from selectimprove.config import Params

SCHEMA = Path(__file__).parents[1] / "schemas" / "params.schema.json"


def schema_text() -> str:
    """Return the schema as it lies in ``workflow/schemas``."""
    return json.dumps(Params.model_json_schema() | {"title": "params.yaml"}, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text())
