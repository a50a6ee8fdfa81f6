"""What Sillok consists of as it is installed here: its own parts, what they need, and what is packed inside those.

From the metadata that installed distributions carry (`importlib.metadata`), so it is true of this machine and needs no
network. Only the closure of Sillok's requirements: what else is in the environment is not Sillok's.

Inside a wheel there may be more than its name says. Three things are found: what its own SBOM lists (PEP 770),
shared libraries that were copied into it, and PostgreSQL. What was linked into a compiled module is not.
"""

import hashlib
import json
import subprocess
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path, PurePath
from typing import Any, Final

from msgspec import Struct
from packaging.licenses import InvalidLicenseExpression, canonicalize_license_expression
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from collector_server.script import BUILT

_ROOT: Final = "sillok"
_EXTRAS: Final = ("parquet",)
"""Of ours, listed where they are installed."""
_OURS: Final = ("sillok", "sillok-sdk")
_LICENCE: Final = "Apache-2.0"
_LICENCE_CHARS_MAX: Final = 60
# Classifiers that mean one licence; "BSD License" and "Apache Software License" could be several, and stay names.
_CLASSIFIED: Final = {
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


class Part(Struct, frozen=True, kw_only=True):
    """One thing that is installed."""

    name: str
    version: str
    licence: str
    """As its author says: an SPDX expression where `is_spdx`, else a name; empty where nothing is said."""
    is_spdx: bool = False
    purl: str = ""
    """Empty for what is a file of a wheel and no more."""
    cpe: str = ""
    """The name that advisories know it by, where it comes from no index."""
    sha256: str = ""
    """Of the one file it is."""
    needs: tuple[str, ...] = ()
    """Names of other parts."""
    inside: tuple["Part", ...] = ()


def parts() -> list[Part]:
    """Return Sillok first, then what it needs by name; raise PackageNotFoundError where it is not installed."""
    found: dict[str, tuple[Distribution, set[str]]] = {}
    _close(_ROOT, frozenset(_EXTRAS), found, set())
    made = [_part(each, needs) for each, needs in found.values()]
    return [*sorted(made, key=lambda part: (part.name != _ROOT, part.name)), _browser_sdk()]


def _close(
    name: str,
    extras: frozenset[str],
    found: dict[str, tuple[Distribution, set[str]]],
    seen: set[tuple[str, frozenset[str]]],
) -> None:
    """Add a distribution, and what it needs with these extras."""
    key = canonicalize_name(name)
    if (key, extras) in seen:
        return
    seen.add((key, extras))
    needs = found.setdefault(key, (distribution(name), set()))[1]
    for text in found[key][0].requires or ():
        needed = Requirement(text)
        is_plain = needed.marker is None or needed.marker.evaluate({"extra": ""})
        if not is_plain and not any(needed.marker.evaluate({"extra": extra}) for extra in extras):  # type: ignore[union-attr]
            continue
        try:
            _close(needed.name, frozenset(needed.extras), found, seen)
        except PackageNotFoundError:
            if is_plain:
                raise
            continue
        needs.add(str(canonicalize_name(needed.name)))


def _part(found: Distribution, needs: set[str]) -> Part:
    name = str(canonicalize_name(found.name))
    licence, is_spdx = licence_of(found)
    # Ours are in no index: a namesake there is somebody else's.
    kind = "generic" if name in _OURS else "pypi"
    return Part(
        name=name,
        version=found.version,
        licence=licence,
        is_spdx=is_spdx,
        purl=f"pkg:{kind}/{name}@{found.version}",
        needs=tuple(sorted(needs)),
        inside=tuple(sorted(_inside(found), key=lambda part: (part.name, part.version, part.purl))),
    )


def licence_of(found: Distribution) -> tuple[str, bool]:
    """Return what a distribution says of its licence, and whether that is an SPDX expression."""

    def said(field: str) -> list[str]:
        return [text.strip() for text in found.metadata.get_all(field) or ()]

    # The field `License` may hold the whole text.
    names = [text for text in said("License") if text != "UNKNOWN" and len(text) <= _LICENCE_CHARS_MAX]
    for text in (*said("License-Expression"), *names):
        try:
            return canonicalize_license_expression(text), True
        except InvalidLicenseExpression:
            continue
    classified = [line.rpartition(" :: ")[2] for line in said("Classifier") if line.startswith("License :: ")]
    if classified and all(name in _CLASSIFIED for name in classified):
        return " OR ".join(sorted(_CLASSIFIED[name] for name in classified)), True
    return next(iter(names), " or ".join(sorted(classified))), False


def _inside(found: Distribution) -> Iterator[Part]:
    """Yield what is packed in a wheel beside its own code."""
    for file in found.files or ():
        if PurePath(file).parent.name == "sboms" and file.suffix == ".json":
            yield from _listed(json.loads(file.read_text(encoding="utf-8")), str(canonicalize_name(found.name)))
        elif file.parts[0].endswith(".libs"):
            digest = hashlib.sha256(file.read_binary()).hexdigest()
            yield Part(name=file.name, version="", licence="", sha256=digest)
        elif file.parts[-2:] == ("bin", "postgres"):
            version = _postgres_version(Path(str(file.locate())))
            yield Part(
                name="postgresql",
                version=version,
                licence="PostgreSQL",
                is_spdx=True,
                purl=f"pkg:generic/postgresql@{version}",
                cpe=f"cpe:2.3:a:postgresql:postgresql:{version}:*:*:*:*:*:*:*",
            )


def _listed(sbom: dict[str, Any], wheel: str) -> Iterator[Part]:
    """Yield what a wheel's own SBOM names, other than the wheel."""
    for each in sbom.get("components", ()):
        if canonicalize_name(each["name"]) == wheel:
            continue
        said: dict[str, Any] = next(iter(each.get("licenses", ())), {})
        named = said.get("license", {})
        licence = said.get("expression") or named.get("id") or named.get("name") or ""
        try:
            licence, is_spdx = canonicalize_license_expression(licence), True
        except InvalidLicenseExpression:
            is_spdx = False
        yield Part(
            name=each["name"],
            version=each.get("version", ""),
            licence=licence,
            is_spdx=is_spdx,
            purl=each.get("purl", ""),
        )


def _postgres_version(program: Path) -> str:
    done = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=20, check=True)
    return done.stdout.split()[-1]


def _browser_sdk() -> Part:
    """Return the script that pages load: one file, which needs nothing."""
    built = BUILT.read_bytes()
    version = built.split(maxsplit=3)[2].decode()  # `/*! sillok 0.1.0 */`
    return Part(
        name="sillok-browser-sdk",
        version=version,
        licence=_LICENCE,
        is_spdx=True,
        purl=f"pkg:generic/sillok-browser-sdk@{version}",
        sha256=hashlib.sha256(built).hexdigest(),
    )
