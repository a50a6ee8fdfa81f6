"""The contract's structs as JSON Schema, each field's texts where readers look for them."""

from typing import Any

import msgspec


def components(*structs: type, ref: str = "#/$defs/{name}") -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return the schema of each struct, and name → definition of all they are made of; `ref` is where those will be."""
    schemas, definitions = msgspec.json.schema_components(structs, ref_template=ref)
    return list(schemas), {name: _by_field(definition) for name, definition in definitions.items()}


def _by_field(definition: dict[str, Any]) -> dict[str, Any]:
    """Lift a field's title and description out of the alternative to null, where readers look for them."""
    for value in definition.get("properties", {}).values():
        for alternative in value.get("anyOf", []):
            for key in ("title", "description"):
                if key in alternative:
                    value[key] = alternative.pop(key)
    return definition
