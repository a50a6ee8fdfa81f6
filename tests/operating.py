"""Operators' commands as they are typed: a process of their own, with a settings file."""

import subprocess
import sys
from pathlib import Path

from tests.builders import Road
from tests.integration.conftest import clean_environment


def write_settings(road: Road, folder: Path, more: str = "") -> Path:
    """Write a settings file for this road's database and spool."""
    path = folder / "sillok.toml"
    sections = f'[operate]\ndsn = "{road.dsn}"\n[process]\ndsn = "{road.dsn}"\n[spool]\nfolder = "{road.spool.path}"\n'
    path.write_text(sections + more, encoding="utf-8")
    return path


def sillok(settings: Path, *arguments: str, timeout_s: float = 120) -> subprocess.CompletedProcess[str]:
    """Run one command to its end."""
    command = [sys.executable, "-m", "sillok", *arguments, "--config", str(settings)]
    return subprocess.run(
        command, env=clean_environment(), capture_output=True, text=True, timeout=timeout_s, check=False
    )
