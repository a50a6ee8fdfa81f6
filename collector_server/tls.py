"""TLS on the ingest plane: one context per worker, whose certificate SIGHUP replaces for new connections.

What would fail at the first handshake is refused before anything listens: a file that is missing, cannot be read,
is no certificate, does not belong to its key, or has expired.
"""

import contextlib
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from collector_server.client_address import is_loopback
from collector_server.settings import CollectorSettings
from contract.errors import SettingsError

# X509_V_ERR_CERT_NOT_YET_VALID, X509_V_ERR_CERT_HAS_EXPIRED
_TIMES: Final = {9: "is not valid yet: check the machine's clock", 10: "has expired: renew it"}
_NO_PASSWORD: Final = ""


def check_tls(settings: CollectorSettings) -> None:
    """Raise SettingsError, naming setting and file, when clients would refuse the certificate or get none."""
    context = tls_context(settings)
    if context is not None and settings.tls_certificate is not None:
        _check_times(context, settings.tls_certificate)


def tls_context(settings: CollectorSettings) -> ssl.SSLContext | None:
    """Return the server's context, None when TLS is not set; raise SettingsError when the files cannot be used.

    An expired certificate can: a worker that starts again must not stay away because of a date.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise SettingsError("[serve] tls_certificate and tls_key belong together: set both, or none")
    for name, path in (("tls_certificate", certificate), ("tls_key", key)):
        _check_readable(name, path)
    return _server_context(certificate, key, "tls")


def pull_context(settings: CollectorSettings) -> ssl.SSLContext | None:
    """Return the context of the pull listener, None for this machine's own address without one; raise SettingsError."""
    certificate, key = settings.pull_tls_certificate, settings.pull_tls_key
    if certificate is None and key is None and is_loopback(settings.pull_host):
        return None
    if certificate is None or key is None:
        raise SettingsError(
            "[serve] pull_tls_certificate and pull_tls_key are needed where other machines reach `pull_host`: set both"
        )
    for name, path in (("pull_tls_certificate", certificate), ("pull_tls_key", key)):
        _check_readable(name, path)
    return _server_context(certificate, key, "pull_tls")


def renew_pull(context: ssl.SSLContext, settings: CollectorSettings) -> None:
    """Take the pull listener's files as they are now; raise SettingsError and change nothing if broken."""
    if pull_context(settings) is not None:
        _load(context, settings.pull_tls_certificate or "", settings.pull_tls_key or "", "pull_tls")


def _server_context(certificate: str, key: str, setting: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    _load(context, certificate, key, setting)
    return context


def renew(context: ssl.SSLContext, settings: CollectorSettings) -> None:
    """Take the files as they are now, for connections from now on; raise SettingsError and change nothing if broken."""
    check_tls(settings)
    _load(context, settings.tls_certificate or "", settings.tls_key or "", "tls")


def _check_readable(name: str, path: str) -> None:
    try:
        with Path(path).open("rb") as file:
            file.read(1)
    except OSError as error:
        raise SettingsError(
            f"[serve.{name}] cannot read {path}: {error.strerror}; check path and permissions"
        ) from error


def _load(context: ssl.SSLContext, certificate: str, key: str, setting: str) -> None:
    """Load a certificate and its key; `setting` is how their settings' names begin."""
    try:
        context.load_cert_chain(certificate, key, lambda: _NO_PASSWORD)  # never asks on a terminal
    except (ssl.SSLError, OSError, ValueError) as error:
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise SettingsError(
                f"[serve.{setting}_key] {key} is not the key of {certificate}: name the two that belong"
            ) from error
        raise SettingsError(
            f"[serve.{setting}_certificate] {certificate} and {key} are of no use: both must be PEM, the key without"
            " password"
        ) from error


def expiry(certificate: str, key: str) -> float | None:
    """Return when a certificate ends, seconds since the epoch; None where it cannot be said.

    Raises SettingsError when the files cannot be used, or the certificate is out of its time already.
    """
    return _end_of(_check_times(_server_context(certificate, key, "tls"), certificate))


def certificates(settings: CollectorSettings) -> Iterator[tuple[str, str, str]]:
    """Yield listener (`ingest`, `pull`), certificate and key, of those that have one."""
    for listener, certificate, key in (
        ("ingest", settings.tls_certificate, settings.tls_key),
        ("pull", settings.pull_tls_certificate, settings.pull_tls_key),
    ):
        if certificate and key:
            yield listener, certificate, key


def ends_in_force(settings: CollectorSettings, before: Mapping[str, float]) -> dict[str, float]:
    """Return when the certificate of each listener ends that is in force once these files were read.

    Seconds since the epoch; 0 for one that is out of its time, or whose dates cannot be read. Files of no use are not
    taken: what was in force `before` stays.
    """
    ends = dict(before)
    for listener, certificate, key in certificates(settings):
        try:
            context = _server_context(certificate, key, "tls")
        except SettingsError:
            continue
        ends[listener] = 0.0
        with contextlib.suppress(SettingsError):
            ends[listener] = _end_of(_check_times(context, certificate)) or 0.0
    return ends


def _end_of(found: Mapping[str, object] | None) -> float | None:
    ends = (found or {}).get("notAfter")
    return ssl.cert_time_to_seconds(ends) if isinstance(ends, str) else None


def _check_times(context: ssl.SSLContext, certificate: str) -> Mapping[str, object] | None:
    """Shake hands with ourselves: Python reads a certificate's dates in no other way. Return what the client saw."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(to_client, to_server),
        context.wrap_bio(to_server, to_client, server_side=True),
    )
    for end in ends * 3:
        try:
            end.do_handshake()
        except ssl.SSLWantReadError:
            continue
        except ssl.SSLCertVerificationError as error:
            if error.verify_code in _TIMES:
                raise SettingsError(f"[serve.tls_certificate] {certificate} {_TIMES[error.verify_code]}") from error
            return None  # what else a client may find wrong is between it and the one who issued it
        except ssl.SSLError:
            return None
    return ends[0].getpeercert()
