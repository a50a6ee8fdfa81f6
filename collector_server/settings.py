"""The collector's settings, section `[serve]`, and its write keys, `[[serve.keys]]`."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=1, le=65535)]
Positive = Annotated[int, Meta(ge=1)]
KeyKind = Literal["browser", "server", "test"]


class KeyRights(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a write key may do: the same in the settings and in the key file."""

    source: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f]*$")]
    """Which app; becomes the column `source`. A body can never set it. Another one: the app's events go on under a
    new name, and no longer match what came before."""
    kind: KeyKind = "browser"
    """`browser` for pages and apps; `server` keys relay other people's requests, so that `context.ip` and
    `context.user_agent` are honoured; rows of `test` keys carry `is_test`. Another kind: whoever reads a `server`
    key in a page chooses the addresses that are stored."""
    origins: tuple[str, ...] = ()
    """Web origins that may use the key from a page; `*` for all. Requests without `Origin` are not affected. Fewer:
    pages of the others are answered 403. All: any page of the web may send with it."""
    loopback_only: bool = False
    """Refuse the key from other machines. False: whoever reaches the port may use it."""
    events_per_second_max: Annotated[float, Meta(gt=0)] | None = None
    """Beyond this rate the key is answered 429; None for no limit. A burst of two seconds is let through. Lower: an
    app's events of a busy moment arrive later, and are dropped where its queue is full. None: one app can take the
    room of all."""


class WriteKeySettings(KeyRights, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A write key in the settings, as a text: for trying things out. `sillok keys` keeps the others, hashed."""

    key: str
    """The key's text, of at least as many random bits as its source is worth. In the settings: it stands there
    readable for whoever reads the file; `sillok keys` keeps a hash."""


DEMO_KEY = WriteKeySettings(key="demo", source="demo", origins=("*",), loopback_only=True)


class CollectorSettings(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How the collector listens and what it takes."""

    host: str = "127.0.0.1"
    """The address that events are taken on. Another than this machine's own: without `tls_certificate` or a proxy
    events cross the network readable."""
    port: Port = 7070
    """The port that events are taken on. Another: apps that send to the old one wait and keep their events."""
    admin_host: str = "127.0.0.1"
    """The address of the admin plane (`/healthz`, `/readyz`, `/metrics`), a listener of its own. Another than this
    machine's own: whoever reaches it reads the figures; keep it inside."""
    admin_port: Port = 7071
    """The admin plane's port. Another: Prometheus, health checks and `sillok doctor` have to know it, or they
    alarm."""
    demo: bool = False
    """A page on the admin plane that shows the demo key's events as they are stored; `sillok up` sets it, for its
    built-in key on this machine's own address. True: whoever reaches that port reads contents."""
    workers: Positive = 1
    """Processes that share the port, each with its own spool slot. Fewer: less is taken at once, and the slots left
    over hold the watermark until `sillok spool retire`. More: some 40 MiB of memory each."""
    keys: tuple[WriteKeySettings, ...] = (DEMO_KEY,)
    """Write keys as texts, for trying things out. Empty: only the keys that `sillok keys` made are taken. More:
    each stands readable in the settings."""
    keys_file: str | None = None
    """The keys that `sillok keys` makes; default `<data folder>/keys.jsonl`. Read again on SIGHUP. Another file:
    the keys of the old one are answered 401, and its log of changes stays beside it."""
    pull_port: Port | None = None
    """Where a loader on another machine lists, reads and releases sealed segments. None: nobody does. Set: let the
    loader's address alone through to it, or whoever has the token reads every event."""
    pull_host: str = "127.0.0.1"
    """The address of the pull listener. Another than this machine's own: it needs `pull_tls_certificate`."""
    pull_token_file: str | None = None
    """A file with the secret that a loader must show, at least 32 characters: `openssl rand -hex 32`. Known to
    others: they can read every event of the spool, and have segments moved into the archive before they are loaded."""
    pull_tls_certificate: str | None = None
    """PEM file with the certificate and its chain of the pull listener, with `pull_tls_key`. Another: the loader's
    `ca_file` must vouch for it, or nothing is loaded until it does. None: the listener is on this machine's own
    address alone."""
    pull_tls_key: str | None = None
    """PEM file with its private key, without a password. Readable for others: they can pass for this collector."""
    tls_certificate: str | None = None
    """PEM file with the certificate and its chain; with `tls_key` the ingest plane speaks TLS 1.2 and later and
    nothing else. Read again on SIGHUP. None: a proxy in front does TLS, or events cross the network readable."""
    tls_key: str | None = None
    """PEM file with its private key, without a password. Readable for others: they can pass for this collector."""
    trusted_proxies: tuple[str, ...] = ()
    """Networks (CIDR) of the proxies in front. From them alone `X-Forwarded-For` names the client. Too few: every
    event has the proxy's address. Too many: anybody in them chooses the address that is stored."""
    refused_per_minute_max: Positive = 600
    """Refused requests of one address, over all workers; beyond it further *bad* ones are answered 429, never a
    good one. Lower: an app with a fault, behind a carrier's one address, learns less of what is wrong with it.
    Higher: a flood of bad requests costs more."""
    body_bytes_max: Positive = 1024 * 1024
    """Bytes of a batch as sent; beyond it 413. Lower: batches of apps that send more at once are refused for good.
    Higher: more memory for each request."""
    batch_bytes_max: Positive = 8 * 1024 * 1024
    """Bytes of a batch decompressed; beyond it 413. Lower: well compressed batches are refused for good. Higher: a
    bomb costs more memory."""
    batch_events_max: Positive = 1_000
    """Events of a batch; beyond it 413. Lower: apps that collect more while offline lose whole batches, unless
    their SDK splits them. Higher: one request may hold up a worker for longer."""
    in_flight_bytes_max: Positive = 64 * 1024 * 1024
    """Bytes of bodies being received or waiting for the disk, per worker; beyond it 503. Lower: clients wait in a
    busy moment. Higher: as much more memory."""
    body_timeout_ms: Positive = 10_000
    """Milliseconds that a body may take; then it is cut off. Shorter: phones with a bad line send again and again.
    Longer: slow senders hold memory."""
    keepalive_timeout_ms: Positive = 30_000
    """Milliseconds after which an idle connection is closed; also the limit for sending a request's head, and for
    reading nothing of an answer. Shorter: clients connect anew more often. Longer: silent connections hold
    descriptors."""
    log_sample: Annotated[int, Meta(ge=0)] = 1_000
    """Of the batches answered 200 one in this many is logged; 0 for none, 1 for all. Higher: less to look into when
    somebody asks after a request. Lower: a larger log."""
    log_refused_per_second_max: Annotated[int, Meta(ge=0)] = 10
    """Lines about refused requests a second, per worker; beyond it they are counted. Lower: fewer of an app's
    faults can be read. Higher: an attacker can fill the log."""
    query_values_kept: tuple[str, ...] = (
        "page", "tab", "sort", "lang", "category", "menu",
    )  # fmt: skip
    """Names whose query values stay in URLs, besides `utm_*` and click ids; all other values are dropped. Fewer:
    pages that differ in the query only become one. More: what people type or are may stand in URLs."""
    account_patterns: tuple[str, ...] = ()
    """Regular expressions (RE2) of the firm's account numbers; what they match is masked before the disk. Accounts in
    the forms of the large banks, written with dashes (`110-234-567890`), are masked without one. Fewer:
    the numbers they matched are stored from then on. Too wide: other numbers are masked, for good."""
