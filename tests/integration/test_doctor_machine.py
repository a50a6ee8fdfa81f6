"""`sillok doctor` on the machine itself: each fault is named with what to do, and a collector's machine needs no database."""

import json
import shutil
import ssl
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from collector_server.key_file import edited_keys, make_key
from collector_server.settings import KeyRights
from commands.doctor import examine
from commands.doctor_database import Finding
from commands.doctor_machine import is_contained
from commands.settings import Settings, load_settings
from storage.postgres import connect
from tests.builders import Road, Spool, event
from tests.integration.test_tls import Certificates
from tests.operating import sillok
from tests.pulling import TOKEN, handing_out

needs_openssl = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed to make certificates")


def settings_of(folder: Path, text: str = "") -> tuple[Settings, str]:
    path = folder / "sillok.toml"
    path.write_text(f'[data]\nfolder = "{folder}"\n{text}', encoding="utf-8")
    path.chmod(0o640)
    return load_settings(str(path), {}), str(path)


def found(folder: Path, text: str = "", *, on: str = "collector") -> dict[str, Finding]:
    settings, path = settings_of(folder, text)
    return {finding.check: finding for finding in examine(settings, None, on=on, config=path)}


def test_a_collectors_machine_is_asked_for_no_database(tmp_path: Path) -> None:
    _, path = settings_of(tmp_path)
    done = sillok(Path(path), "doctor", "--on", "collector", "--json")
    checks = [finding["check"] for finding in json.loads(done.stdout)]
    assert checks == [
        "settings", "clock", "file system", "key log", "account numbers", "data folder", "disk sync", "spool", "write keys",
        "collector",
    ]  # fmt: skip


def test_the_clock_is_asked_and_not_changed(tmp_path: Path) -> None:
    before = time.time() - time.monotonic()
    clock = found(tmp_path)["clock"]
    assert clock.result in {
        "kept by NTP", "nothing keeps it", "the kernel does not say whether it is kept by NTP",
        "a container's, and so its host's: NTP has to run there, and the kernel knows of none",
    }  # fmt: skip
    assert bool(clock.advice) == (clock.result == "nothing keeps it"), "what is the host's to mend is a note"
    assert abs(time.time() - time.monotonic() - before) < 0.5


@pytest.mark.parametrize(
    ("mark", "bounds", "contained"),
    [
        (None, "000001ffffffffff", False),
        (".dockerenv", "000001ffffffffff", True),
        ("run/.containerenv", "000001ffffffffff", True),
        ("run/systemd/container", "000001ffffffffff", True),
        # Docker's and Kubernetes' own set, which has no right to set the clock.
        (None, "00000000a80425fb", True),
    ],
)
def test_a_container_is_told_from_a_machine(tmp_path: Path, mark: str | None, bounds: str, *, contained: bool) -> None:
    status = tmp_path / "proc/self/status"
    status.parent.mkdir(parents=True)
    status.write_text(f"Name:\tsillok\nCapBnd:\t{bounds}\n", encoding="ascii")
    if mark:
        (tmp_path / mark).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / mark).touch()
    assert is_contained(tmp_path) == contained


def test_a_spool_in_memory_is_said(tmp_path: Path) -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("there is no file system in memory here")
    settings = '[spool]\nfolder = "/dev/shm/sillok-spool-that-is-not-there"\n'
    assert found(tmp_path, settings)["file system"] == Finding(
        "file system", "the spool is on tmpfs, mounted on /dev/shm",
        "it is memory: a power cut loses what was acknowledged; put the spool on a disk",
    )  # fmt: skip
    assert not Path("/dev/shm/sillok-spool-that-is-not-there").exists()


def test_a_settings_file_with_a_database_that_all_may_read_is_said(tmp_path: Path) -> None:
    settings, path = settings_of(tmp_path, '[load]\ndsn = "host=nowhere"\n')
    assert next(iter(examine(settings, None, on="collector", config=path))).advice == ""
    Path(path).chmod(0o644)
    assert "chmod 640" in next(iter(examine(settings, None, on="collector", config=path))).advice


def test_a_disk_that_is_nearly_full_is_said(tmp_path: Path) -> None:
    assert found(tmp_path, f"[spool]\nfree_bytes_min = {2**60}\n")["data folder"].advice.startswith("make space: below")


def test_what_is_printed_is_what_is_meant(tmp_path: Path) -> None:
    """A section's name in brackets is no markup of the terminal; what cannot be looked at says where and what to do."""
    _, path = settings_of(tmp_path, f'[spool]\nfree_bytes_min = {2**60}\n[serve]\npull_token_file = "/nowhere/token"\n')
    printed = sillok(Path(path), "doctor", "--on", "collector").stdout.replace("\n", " ")
    assert "below [spool] free_bytes_min" in printed
    assert "/nowhere/token: No such file or directory; check that it is there" in printed


def test_the_spools_own_disk_is_looked_at(tmp_path: Path) -> None:
    """Where it is not the data folder's: it is the one that fills up."""
    (tmp_path / "elsewhere").mkdir()
    findings = found(tmp_path, f'[spool]\nfolder = "{tmp_path / "elsewhere"}"\nfree_bytes_min = {2**60}\n')
    assert findings["spool folder"].advice.startswith("make space: below")


def test_what_is_not_everybodys_is_said(tmp_path: Path) -> None:
    """A token that all may read, a key file that all may write; nobody is told to close what is closed."""
    token, keys = tmp_path / "token", tmp_path / "keys.jsonl"
    token.write_text(TOKEN, encoding="ascii")
    _, path = settings_of(tmp_path)
    sillok(Path(path), "keys", "make", "--source", "web")
    settings = f'[serve]\npull_token_file = "{token}"\n'
    for mode, key_mode, advice in (
        (0o644, 0o644, f"`chmod go-w,o= {token}`"), (0o440, 0o666, f"`chmod go-w {keys}`"), (0o400, 0o644, ""),
    ):  # fmt: skip
        token.chmod(mode)
        keys.chmod(key_mode)
        assert found(tmp_path, settings)["secrets"].advice == advice


def test_a_key_that_nobody_made_by_a_command_is_said(tmp_path: Path) -> None:
    _, path = settings_of(tmp_path)
    sillok(Path(path), "keys", "make", "--source", "web")
    with edited_keys(tmp_path / "keys.jsonl") as records:
        records.append(make_key(KeyRights(source="web"))[1])
    (strange,) = {record.id for record in records} - {records[0].id}
    assert strange in found(tmp_path)["key log"].advice
    verified = sillok(Path(path), "audit", "verify")
    assert (verified.returncode, f"nobody made {strange}" in verified.stdout) == (1, True)


@needs_openssl
@pytest.mark.parametrize(("days", "advice"), [(90, ""), (5, "renew it, then `systemctl reload sillok-collector`")])
def test_a_certificate_that_ends_soon_is_said(tmp_path: Path, days: int, advice: str) -> None:
    end = f"{datetime.now(UTC) + timedelta(days=days, hours=1):%Y%m%d%H%M%SZ}"
    certificate, key = Certificates(tmp_path).make("page", end=end)
    settings = f'[serve]\ntls_certificate = "{certificate}"\ntls_key = "{key}"\n'
    assert found(tmp_path, settings)["ingest certificate"] == Finding(
        "ingest certificate", f"{certificate} is good for {days} more days", advice
    )


@needs_openssl
def test_a_certificate_that_has_ended_is_said(tmp_path: Path) -> None:
    certificate, key = Certificates(tmp_path).make("page", end="20210101000000Z")
    settings = f'[serve]\npull_tls_certificate = "{certificate}"\npull_tls_key = "{key}"\n'
    assert "has expired: renew it" in found(tmp_path, settings)["pull certificate"].advice


def test_a_site_without_account_patterns_is_told_so(tmp_path: Path) -> None:
    """As a note: it may have none on purpose."""
    without = found(tmp_path)["account numbers"]
    assert ("[serve] account_patterns" in without.result, without.advice) == (True, "")
    told = found(tmp_path, "[serve]\naccount_patterns = ['\\d{3}-\\d{2}-\\d{6}']\n")["account numbers"]
    assert told == Finding("account numbers", "the large banks' forms and 1 of the firm's own are masked")


def test_a_changed_key_log_is_said(tmp_path: Path) -> None:
    _, path = settings_of(tmp_path)
    sillok(Path(path), "keys", "make", "--source", "web")
    assert found(tmp_path)["key log"].advice == ""
    log = tmp_path / "keys.jsonl.log"
    log.write_bytes(log.read_bytes().replace(b"web", b"app"))
    assert "line 1 does not follow" in found(tmp_path)["key log"].advice


def test_collectors_that_are_pulled_are_asked(tmp_path: Path, spool_path: Path) -> None:
    Spool(spool_path).write(event())
    with handing_out(spool_path, tmp_path / "token") as (url, _):
        collectors = "".join(
            f'[[load.collectors]]\nurl = "{each}"\ntoken_file = "{tmp_path / "token"}"\n'
            for each in (url, "http://127.0.0.1:1")
        )
        findings = found(tmp_path, collectors, on="inside")
    assert findings[f"collector {url}"] == Finding(f"collector {url}", "1 sealed segments wait")
    assert "check its pull_port" in findings["collector http://127.0.0.1:1"].advice


@needs_openssl
@pytest.mark.parametrize(
    ("days", "off_s", "said"),
    [(90, 0, ""), (2, 0, "its certificate is good for 2 more days"), (90, -120, "its clock is 1")],
)
def test_the_clock_and_certificate_of_a_collector_that_is_pulled_are_looked_at(
    tmp_path: Path, spool_path: Path, days: int, off_s: int, said: str
) -> None:
    """From inside: its own doctor may be asked by nobody."""
    end = f"{datetime.now(UTC) + timedelta(days=days, hours=1):%Y%m%d%H%M%SZ}"
    certificate, key = Certificates(tmp_path).make("127.0.0.1", end=end)
    Spool(spool_path).write(event())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with handing_out(spool_path, tmp_path / "token", context=context, clock_off_s=off_s) as (url, _):
        collectors = (
            f'[[load.collectors]]\nurl = "{url}"\ntoken_file = "{tmp_path / "token"}"\nca_file = "{certificate}"\n'
        )
        finding = found(tmp_path, collectors, on="inside")[f"collector {url}"]
    assert said in finding.result
    assert bool(finding.advice) == bool(said)


def test_each_programs_user_is_tried_as_its_role(road: Road, tmp_path: Path) -> None:
    dsn = psycopg.conninfo.make_conninfo(road.dsn, user="doctor_test")
    road.admin.execute("create user doctor_test")
    try:
        text = f'[load]\ndsn = "{dsn}"\n[operate]\ndsn = "{road.dsn}"\n'
        findings = found(tmp_path, text, on="inside")
        assert "grant sillok_loader to <user>" in findings["[load] user"].advice
        assert "it is a superuser" in findings["[operate] user"].advice
        assert "!! [operate] user: " in sillok(tmp_path / "sillok.toml", "doctor", "--on", "inside").stdout
        road.admin.execute("grant sillok_loader to doctor_test")
        assert found(tmp_path, text, on="inside")["[load] user"] == Finding(
            "[load] user", "doctor_test may act as sillok_loader"
        )
    finally:
        with connect(road.dsn) as admin:
            admin.execute("drop owned by doctor_test; drop user doctor_test")
