"""Collectors without a database, and a loader inside that pulls over TLS: kills and cuts lose nothing."""

import itertools
import random
import re
import shutil
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from tests.crash.oracle import Driver, drain, judge
from tests.crash.processes import Machine, steady_ports
from tests.pulling import TOKEN, Wire, handing_out

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed to make certificates")
_KILLS = 5
_MANUAL = Path(__file__).parents[2] / "docs/operate.md"


def test_a_loader_inside_pulls_everything_though_wire_and_loader_are_cut_and_killed(
    machine: Machine, connection: psycopg.Connection, tmp_path: Path
) -> None:
    chance = random.Random(7)
    certificate, key = _certificate_of_the_manual(tmp_path)
    token = tmp_path / "token"
    token.write_text(TOKEN, encoding="ascii")
    (pull_port,) = steady_ports(1)

    def cuts() -> Iterator[int]:
        while True:
            yield int(chance.expovariate(1 / 30_000)) + 1

    with Wire(itertools.repeat(pull_port), cuts()).laid() as wire:
        machine.collector = machine.program(
            "serve", "pulled", **machine.ports(), SILLOK_SERVE_PULL_PORT=str(pull_port),
            SILLOK_SERVE_PULL_TOKEN_FILE=str(token), SILLOK_SERVE_PULL_TLS_CERTIFICATE=str(certificate),
            SILLOK_SERVE_PULL_TLS_KEY=str(key),
        )  # fmt: skip
        settings = tmp_path / "inside.toml"
        settings.write_text(
            f'[[load.collectors]]\nurl = "https://127.0.0.1:{wire.port}"\n'
            f'token_file = "{token}"\nca_file = "{certificate}"\n',
            encoding="utf-8",
        )
        nowhere = tmp_path / "inside" / "spool"
        machine.loader = machine.program(
            f"load --config {settings}", "inside", SILLOK_LOAD_DSN=machine.dsn, SILLOK_SPOOL_FOLDER=str(nowhere)
        )
        machine.start()
        with Driver(machine).sending() as driver:
            for _ in range(_KILLS):
                driver.wait_for_more(chance.randint(100, 400))
                time.sleep(chance.uniform(0, 0.6))
                machine.loader.kill()
                machine.loader.start()
            machine.collector.kill()
            machine.collector.start()
            driver.wait_for_more(200)
        assert machine.collector.terminate() == 0
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        # The stopped collector's spool goes on being handed out, until nothing waits.
        with handing_out(machine.spool, token, port=pull_port, context=context):
            drain(machine, connection)
            for program in (machine.loader, machine.processor):
                assert program.terminate() == 0
    judge(connection, driver.folder).assert_clean()
    assert wire.cut >= 3, "the wire was hardly ever cut"
    assert not nowhere.exists(), "a pulling loader keeps no spool of its own"


def _certificate_of_the_manual(folder: Path) -> tuple[Path, Path]:
    """Make certificate and key by the very command that operators are told, for this machine's address."""
    found = re.search(r"^# (openssl req (?:.*\\\n)+.*)$", _MANUAL.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None, "the manual says no more how a certificate is made"
    command = found[1].replace("\\\n", " ").replace("/etc/sillok", str(folder)).replace("10.20.0.5", "127.0.0.1")
    subprocess.run(command.split(), check=True, capture_output=True)
    return folder / "pull.pem", folder / "pull-key.pem"
