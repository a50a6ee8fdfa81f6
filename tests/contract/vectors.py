"""Reads the vectors; their format is described in `contract/vectors/README.md`."""

import base64
import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parents[2] / "contract" / "vectors"
VECTORS: list[dict[str, Any]] = [
    vector for path in sorted(FOLDER.glob("*.json")) for vector in json.loads(path.read_text(encoding="utf-8"))
]


def body_of(vector: dict[str, Any]) -> bytes:
    if "body_base64" in vector:
        return base64.b64decode(vector["body_base64"])
    text = vector["body_text"] if "body_text" in vector else json.dumps(vector["body"], ensure_ascii=False)
    return expanded(text, vector).encode()


def expanded(text: str, vector: dict[str, Any]) -> str:
    for placeholder, part in vector.get("generated", {}).items():
        text = text.replace(placeholder, part["text"] * part["times"])
    return text


def stored_of(vector: dict[str, Any]) -> list[dict[str, Any]] | None:
    if "stored" not in vector:
        return None
    stored: list[dict[str, Any]] = json.loads(expanded(json.dumps(vector["stored"], ensure_ascii=False), vector))
    return stored
