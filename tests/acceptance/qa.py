"""An installation under test by QA, and `sillok loadtest` as a process beside it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from collector_server.settings import CollectorSettings, WriteKeySettings
from commands.settings import DataSettings, Settings
from commands.up import Installation
from tests.conftest import free_port, without_fsync
from tests.integration.conftest import clean_environment

KEYS = (
    WriteKeySettings(key="qa", source="qa", kind="test"),
    WriteKeySettings(key="app", source="app"),
    # Breaks at a rate that is known.
    WriteKeySettings(key="narrow", source="narrow", kind="test", events_per_second_max=300),
)


@contextmanager
def installed(folder: Path) -> Iterator[Installation]:
    """Yield an installation that runs."""
    settings = Settings(
        data=DataSettings(folder=str(folder)),
        serve=CollectorSettings(port=free_port(), admin_port=free_port(), keys=KEYS),
    )
    with Installation(settings) as started:
        without_fsync(started.dsn)
        yield started


def url(installation: Installation) -> str:
    """Return where its collector is."""
    return f"http://127.0.0.1:{installation.settings.serve.port}"


def sillok(installation: Installation, folder: Path, *arguments: str, key: str = "qa") -> subprocess.Popen[str]:
    """Start a load test; what is said last counts, as on any command line."""
    config = folder / "sillok.toml"
    config.write_text(f'[process]\ndsn = "{installation.dsn}"\n', "utf-8")
    command = ["loadtest", "--config", str(config), "--url", url(installation), "--key", key]
    command += ["--history", str(folder / "runs.sqlite")]
    command += ["--max-lag-ms", "60000"]  # what else runs on the machine is not what is tested
    return subprocess.Popen(
        [sys.executable, "-m", "sillok", *command, *arguments],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for it; return its status and what it said."""
    said, errors = process.communicate(timeout=120)
    return process.returncode, said, errors
