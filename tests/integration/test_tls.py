"""TLS without a proxy: what is spoken, what is refused at the start, and a certificate renewed at SIGHUP."""

import http.client
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from collector_server.settings import CollectorSettings
from collector_server.tls import check_tls, ends_in_force, pull_context, tls_context
from contract.errors import SettingsError
from tests.integration.conftest import PATIENCE_S, Collector, batch, eventually, running
from tests.integration.test_admin import metrics

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl is not installed to make certificates")

CONFIG = """
[req]
distinguished_name = name
[name]
[ca]
default_ca = us
[us]
new_certs_dir = {folder}
database = {folder}/index
serial = {folder}/serial
default_md = sha256
policy = any
x509_extensions = page
[any]
commonName = supplied
[page]
subjectAltName = DNS:localhost, IP:127.0.0.1
"""


def openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True, timeout=PATIENCE_S)


class Certificates:
    """Makes self-signed certificates in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def make(self, name: str, start: str = "20200101000000Z", end: str = "20991231235959Z") -> tuple[Path, Path]:
        """Return certificate and key, valid from `start` to `end` (YYYYMMDDHHMMSSZ)."""
        own = self.folder / f"{name}.ca"
        own.mkdir()
        (own / "index").touch()
        (own / "serial").write_text("01", encoding="ascii")
        config = own / "config"
        config.write_text(CONFIG.format(folder=own), encoding="ascii")
        certificate, key, request = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                "-config", str(config), "-keyout", str(key), "-out", str(request))  # fmt: skip
        openssl("ca", "-batch", "-selfsign", "-notext", "-config", str(config), "-keyfile", str(key), "-in", str(request),
                "-startdate", start, "-enddate", end, "-out", str(certificate))  # fmt: skip
        return certificate, key


@pytest.fixture
def certificates(tmp_path: Path) -> Certificates:
    return Certificates(tmp_path)


@pytest.fixture
def pair(certificates: Certificates) -> tuple[Path, Path]:
    return certificates.make("first")


@pytest.fixture
def collector(tmp_path: Path, pair: tuple[Path, Path]) -> Iterator[Collector]:
    serve = f'workers = 2\ntls_certificate = "{pair[0]}"\ntls_key = "{pair[1]}"'
    with running(tmp_path, serve) as started:
        started.wait_until_ready()
        yield started


def post(collector: Collector, trusted: Path) -> int:
    """Send a batch as a client that believes this certificate only."""
    context = ssl.create_default_context(cafile=str(trusted))
    connection = http.client.HTTPSConnection("127.0.0.1", collector.port, timeout=PATIENCE_S, context=context)
    try:
        connection.request("POST", "/v1/events", batch(3), {"X-Sillok-Key": "browser"})
        return connection.getresponse().status
    finally:
        connection.close()


def shown(collector: Collector) -> str:
    return ssl.get_server_certificate(("127.0.0.1", collector.port), timeout=PATIENCE_S)


def test_a_batch_over_tls_is_as_durable_as_any(collector: Collector, pair: tuple[Path, Path]):
    assert post(collector, pair[0]) == 200
    assert collector.stop() == 0
    assert collector.spooled().accepted == {"web": 3}


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_nothing_older_than_tls_1_2_is_spoken_and_nothing_in_clear(collector: Collector, pair: tuple[Path, Path]):
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
    with collector.connect() as connection, pytest.raises((ssl.SSLError, ConnectionError)):
        old.wrap_socket(connection)

    with collector.connect() as connection, connection.makefile("rb") as stream:
        connection.sendall(b"POST /v1/events?key=browser HTTP/1.1\r\nHost: c\r\nContent-Length: 0\r\n\r\n")
        assert b"HTTP/1.1" not in read_to_the_end(stream.read)
    assert post(collector, pair[0]) == 200


def read_to_the_end(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except ConnectionError:
        return b""


def test_a_handshake_that_never_comes_holds_nobody_up(collector: Collector, pair: tuple[Path, Path]):
    idle = [socket.create_connection(("127.0.0.1", collector.port)) for _ in range(20)]
    try:
        assert post(collector, pair[0]) == 200
    finally:
        for connection in idle:
            connection.close()


def left_days(collector: Collector) -> float:
    """Return for how many days the certificate in force is good, as Prometheus is told."""
    return metrics(collector)["sillok_certificate_left_seconds", "ingest"] / 86400


def test_a_renewed_certificate_is_shown_after_sighup_and_a_broken_one_is_not(
    collector: Collector, certificates: Certificates, pair: tuple[Path, Path]
):
    first, of_first = pair[0].read_text(encoding="ascii"), left_days(collector)
    assert of_first > 20_000
    second = certificates.make("second", end=f"{datetime.now(UTC) + timedelta(days=10):%Y%m%d%H%M%SZ}")
    second[0].replace(pair[0])  # half of the change: it does not belong to the key
    collector.reload()
    eventually(lambda: len(collector.logged("certificate_not_renewed")) == 2)
    assert {shown(collector) for _ in range(10)} == {first}
    assert left_days(collector) == pytest.approx(of_first, abs=0.01)

    second[1].replace(pair[1])
    collector.reload()
    eventually(lambda: len(collector.logged("certificate_loaded")) == 2)
    assert {shown(collector) for _ in range(10)} == {pair[0].read_text(encoding="ascii")}
    assert left_days(collector) == pytest.approx(10, abs=0.01)
    assert post(collector, pair[0]) == 200


def test_a_certificate_that_is_over_has_nothing_left(certificates: Certificates):
    """The alarm must not fall silent when what it warned of has come true."""
    expired, good = certificates.make("old", end="20210101000000Z"), certificates.make("page")
    assert ends_in_force(settings(*good), {"pull": 7.0})["pull"] == 7.0
    assert ends_in_force(settings(*expired), ends_in_force(settings(*good), {})) == {"ingest": 0.0}


# What is refused before anything starts


def settings(certificate: Path | None, key: Path | None) -> CollectorSettings:
    return CollectorSettings(
        tls_certificate=str(certificate) if certificate else None, tls_key=str(key) if key else None
    )


def refusal(certificate: Path | None, key: Path | None) -> str:
    with pytest.raises(SettingsError) as error:
        check_tls(settings(certificate, key))
    return str(error.value)


def test_a_good_pair_is_taken_and_none_is_no_tls(pair: tuple[Path, Path]):
    check_tls(settings(*pair))
    check_tls(settings(None, None))
    assert tls_context(settings(None, None)) is None


def test_files_that_cannot_serve_are_named_with_their_setting(certificates: Certificates, pair: tuple[Path, Path]):
    certificate, key = pair
    missing = certificates.folder / "missing"
    broken = certificates.folder / "broken"
    broken.write_text("broken", encoding="ascii")
    locked = certificates.folder / "locked.key"
    openssl("ec", "-in", str(key), "-aes256", "-passout", "pass:geheim", "-out", str(locked))
    _, other = certificates.make("other")

    assert "set both, or none" in refusal(certificate, None)
    assert "set both, or none" in refusal(None, key)
    assert refusal(missing, key).startswith(f"[serve.tls_certificate] cannot read {missing}: No such file")
    assert refusal(certificate, missing).startswith(f"[serve.tls_key] cannot read {missing}: No such file")
    assert f"{broken} and {key} are of no use" in refusal(broken, key)
    assert f"{certificate} and {broken} are of no use" in refusal(certificate, broken)
    assert "without password" in refusal(certificate, locked)
    assert f"[serve.tls_key] {other} is not the key of {certificate}" in refusal(certificate, other)
    with pytest.raises(SettingsError, match=r"\[serve\.pull_tls_key\] .* is not the key of"):
        pull_context(CollectorSettings(pull_tls_certificate=str(certificate), pull_tls_key=str(other)))


def test_a_certificate_out_of_its_time_is_refused_but_keeps_no_worker_away(certificates: Certificates):
    expired = certificates.make("expired", "20200101000000Z", "20210101000000Z")
    early = certificates.make("early", "20900101000000Z", "20910101000000Z")

    assert "has expired: renew it" in refusal(*expired)
    assert "is not valid yet" in refusal(*early)
    assert tls_context(settings(*expired)) is not None


def test_the_command_ends_with_2_and_one_sentence(tmp_path: Path, certificates: Certificates):
    certificate, key = certificates.make("expired", "20200101000000Z", "20210101000000Z")
    collector = Collector(tmp_path, f'tls_certificate = "{certificate}"\ntls_key = "{key}"')

    assert collector.process.wait(PATIENCE_S) == 2
    [line] = collector.log.read_text(encoding="utf-8").splitlines()
    assert line == f"sillok: [serve.tls_certificate] {certificate} has expired: renew it"
