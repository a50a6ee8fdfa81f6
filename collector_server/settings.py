"""The collector's settings, section `[serve]`, and its write keys, `[[serve.keys]]`."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
KeyKind = Literal["browser", "server", "test"]


class KeyRights(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a write key may do: the same in the settings and in the key file."""

    source: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
    """Which app; becomes the column `source`. A body can never set it."""
    kind: KeyKind = "browser"
    """`server` keys relay other people's requests: `context.ip` and `context.user_agent` are honoured.
    Rows of `test` keys carry `is_test`."""
    origins: tuple[str, ...] = ()
    """Web origins that may use the key from a page; `*` for all. Requests without `Origin` are not affected."""
    loopback_only: bool = False
    """Refuse the key from other machines."""
    events_per_second_max: Annotated[float, Meta(gt=0)] | None = None
    """Beyond this rate the key is answered 429; None for no limit. A burst of two seconds is let through."""


class WriteKeySettings(KeyRights, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A write key in the settings, as a text: for trying things out. `sillok keys` keeps the others, hashed."""

    key: str


DEMO_KEY = WriteKeySettings(key="demo", source="demo", origins=("*",), loopback_only=True)


class CollectorSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the collector listens and what it takes."""

    host: str = "127.0.0.1"
    port: Port = 7070
    admin_host: str = "127.0.0.1"
    """The admin plane is a listener of its own; keep it inside."""
    admin_port: Port = 7071
    demo: bool = False
    """A page on the admin plane that shows the demo key's events as they are stored. It shows contents to whoever
    reaches that port: `sillok up` sets it, for its built-in key on this machine's own address."""
    workers: Positive = 1
    """Processes that share the port, each with its own spool slot. Fewer later: retire the slots left over."""
    keys: tuple[WriteKeySettings, ...] = (DEMO_KEY,)
    keys_file: str | None = None
    """The keys that `sillok keys` makes; default `<data folder>/keys.jsonl`. Read again on SIGHUP."""
    pull_port: Port | None = None
    """Where a loader on another machine lists, reads and releases sealed segments; None: nobody does. Let the loader's
    address alone through to it."""
    pull_host: str = "127.0.0.1"
    """Any other address than this machine's own needs `pull_tls_certificate`."""
    pull_token_file: str | None = None
    """A file with the secret that a loader must show, at least 32 characters: `openssl rand -hex 32`. Whoever has it
    can read every event of the spool, and have segments moved into the archive before they are loaded."""
    pull_tls_certificate: str | None = None
    """PEM file with the certificate and its chain of the pull listener, with `pull_tls_key`."""
    pull_tls_key: str | None = None
    """PEM file with its private key, without a password."""
    tls_certificate: str | None = None
    """PEM file with the certificate and its chain; with `tls_key` the ingest plane speaks TLS 1.2 and later and nothing
    else. Read again on SIGHUP. None: a proxy in front does TLS, or nobody."""
    tls_key: str | None = None
    """PEM file with its private key, without a password; readable for the collector alone."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) of the proxies in front. From them alone `X-Forwarded-For` names the client; a network too many
    lets anybody in it choose the address that is stored."""
    refused_per_minute_max: Positive = 600
    """Refused requests of one address, over all workers; beyond it further *bad* ones are answered 429, never a good
    one. Lower: an app with a fault, behind a carrier's one address, learns less of what is wrong with it."""
    body_bytes_max: Positive = 1024 * 1024
    """Of a batch as sent; beyond it 413."""
    batch_bytes_max: Positive = 8 * 1024 * 1024
    """Of a batch decompressed; beyond it 413."""
    batch_events_max: Positive = 1_000
    in_flight_bytes_max: Positive = 64 * 1024 * 1024
    """Bodies being received or waiting for the disk, per worker; beyond it 503. More costs memory."""
    body_timeout_ms: Positive = 10_000
    """A body that takes longer is cut off. Longer lets slow senders hold memory."""
    keepalive_timeout_ms: Positive = 30_000
    """An idle connection is closed after this; also the limit for sending a request's head, and
    for reading nothing of an answer."""
    log_sample: Annotated[int, Meta(ge=0)] = 1_000
    """Of the batches answered 200 one in this many is logged; 0 for none, 1 for all."""
    log_refused_per_second_max: Annotated[int, Meta(ge=0)] = 10
    """Lines about refused requests, per worker; beyond it they are counted. More lets an attacker fill the log."""
    query_values_kept: tuple[str, ...] = (
        "page", "tab", "sort", "lang", "category", "menu",
    )  # fmt: skip
    """Names whose query values stay in URLs, besides `utm_*` and click ids; all other values are dropped."""
    account_patterns: tuple[str, ...] = ()
    """Regular expressions (RE2) of the firm's account numbers; what they match is masked before the disk."""
