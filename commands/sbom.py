"""`sillok sbom`: what is installed here, in which version and under which licence; as a table or as CycloneDX 1.6.

The same installation prints the same bytes. With `--stamp` the document gets a serial number and a time of its own.
"""

import argparse
import uuid
from datetime import UTC, datetime
from typing import Any, Final

from rich.table import Table

from commands.installed import Part, parts
from commands.settings import Settings
from commands.terminal import OK, add_json, terminal, write_json

HELP = "list what Sillok consists of here, with versions and licences; --json is an SBOM (CycloneDX 1.6)"

_APPLICATION: Final = "sillok"


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Say how to print."""
    command.add_argument("--stamp", action="store_true", help="with --json: add a serial number and the time")
    add_json(command)


def run(_settings: Settings, options: argparse.Namespace) -> int:
    """Print it."""
    found = parts()
    if options.json:
        write_json(cyclonedx(found, stamped=options.stamp))
        return OK
    table = Table("name", "version", "licence", "inside")
    for part in found:
        table.add_row(part.name, part.version, part.licence)
        for packed in part.inside:
            table.add_row(packed.name, packed.version, packed.licence, part.name)
    terminal().print(table, highlight=False, markup=False)
    return OK


def cyclonedx(found: list[Part], *, stamped: bool = False) -> dict[str, Any]:
    """Return the parts, Sillok first, as a CycloneDX 1.6 document."""
    root, *others = found
    references = {part.name: part.purl for part in found}
    document: dict[str, Any] = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": _APPLICATION, "version": root.version}]},
            "component": _component(root, "application"),
        },
        "components": [_component(part, "library") for part in others],
        "dependencies": [{"ref": part.purl, "dependsOn": [references[name] for name in part.needs]} for part in found],
    }
    if stamped:
        document["serialNumber"] = f"urn:uuid:{uuid.uuid4()}"
        document["metadata"]["timestamp"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    return document


def _component(part: Part, kind: str, within: str = "") -> dict[str, Any]:
    """Return one component; an empty field is left out."""
    reference = part.purl if not within else f"{within}#{part.purl or part.name}"
    licences: list[dict[str, Any]] = []
    if part.licence:
        licences = [{"expression": part.licence} if part.is_spdx else {"license": {"name": part.licence}}]
    fields = {
        "type": kind if part.purl else "file",
        "bom-ref": reference,
        "name": part.name,
        "version": part.version,
        "licenses": licences,
        "cpe": part.cpe,
        "purl": part.purl,
        "hashes": [{"alg": "SHA-256", "content": part.sha256}] if part.sha256 else [],
        "components": [_component(packed, "library", reference) for packed in part.inside],
    }
    return {name: value for name, value in fields.items() if value}
