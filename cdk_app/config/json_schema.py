"""Writes the JSON schema by which editors complete and check a federation file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from cdk_app.config.models import Federation
from cdk_app.config.training import training_schema

SCHEMA: Final = Path(__file__).parents[2] / "federation.schema.json"


def schema_json() -> str:
    """Return the schema of a federation file."""
    schema = Federation.model_json_schema()
    schema["properties"]["training"] = training_schema()
    return json.dumps(schema, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema_json(), encoding="utf-8")
