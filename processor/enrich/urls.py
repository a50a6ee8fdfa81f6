"""What an address says: which page, and which campaign brought the visitor. 7 to 15 µs each.

    https://user:pw@WWW.Firm.co.kr:443/%EC%A3%BC%EC%8B%9D;jsessionid=1F?utm_source=naver#/order/buy?c=1
                    └ host ──────┘    └ path ──────┘                   └ utm ─────────┘└ path ────┘

Always true:

- Any `str` has an answer; nothing is raised, and no answer is longer than its column.
- No text in an answer holds a control character (PostgreSQL cannot store NUL) except as `%00`.
- An address is decoded once: `%2541` is `%41`, never `A`. `%2F` stays as it is, because a slash made
  of it would be another page.
"""

import re
from typing import Final, NamedTuple

from msgspec import Struct

from contract.click_ids import CLICK_ID_NAMES

_HOST_LENGTH_MAX: Final = 255
_PATH_LENGTH_MAX: Final = 2048
_VALUE_LENGTH_MAX: Final = 256

_CLICK_IDS: Final = {name.lower(): name for name in CLICK_ID_NAMES}
_UTM_NAMES: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
_WANTED: Final = frozenset((*_UTM_NAMES, *_CLICK_IDS))

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
# Schemes whose second part names a host, or as `android-app://com.kakao.talk/` names an app.
_DEFAULT_PORTS: Final = {"http": "80", "https": "443", "android-app": ""}
_HOST: Final = re.compile(
    r"(\[[0-9a-f:.]+\]|[^\s\x00-\x20\x7f!\"#$%&'()*+,/:;<=>?@\[\\\]^`{|}~\ud800-\udfff]+)(?::(\d*))?"
)
_ESCAPES: Final = re.compile(r"(?:%[0-9A-Fa-f]{2})+")
_KEPT_IN_PATH: Final = re.compile(r"[\x00-\x1f\x7f/]")
_LINE_BREAKS: Final = re.compile(r"[\t\n\r]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
# Java servers put the session into the path for a browser that has no cookie yet: a secret, and a
# new page for every visitor. And a router adds `#/` to its first page once it runs: no other page.
_SESSION_IN_PATH: Final = re.compile(r";jsessionid=[^/;?#]*|#!?/$", re.IGNORECASE)


class PageUrl(Struct, frozen=True, kw_only=True):
    """One page address taken apart; what it does not say is None.

    `host` is lower case without user, password and default port. `path` always begins with `/`, is
    decoded so that Korean can be read, and includes the fragment only when that is a single-page
    app's route (`#/…`, `#!/…`). `ad_click_id` is `<name>:<value>`.
    """

    host: str | None = None
    path: str = "/"
    utm_source: str | None = None
    utm_medium: str | None = None
    utm_campaign: str | None = None
    utm_term: str | None = None
    utm_content: str | None = None
    ad_click_id: str | None = None


class _Parts(NamedTuple):
    host: str | None
    path: str
    query: str
    route: str  # the fragment if it is a route, else ""


def parse_page_url(url: str) -> PageUrl:
    """Take a page's address apart: absolute, relative, an app's own scheme, or broken.

    An app's scheme has no host: `mts://order/M0301` is the path `/order/M0301`, or every screen named
    in that place would be `/`; unless the first part can only be a host (`mts://m.firm.kr/M0301`, and
    the `localhost` of WebView shells).
    """
    parts = _split(url)
    route, _, route_query = parts.route.partition("?")
    values = _values(parts.query)
    if route_query:
        values = _values(route_query) | values
    return PageUrl(
        host=parts.host,
        path=_path(parts.path + route),
        utm_source=values.get("utm_source"),
        utm_medium=values.get("utm_medium"),
        utm_campaign=values.get("utm_campaign"),
        utm_term=values.get("utm_term"),
        utm_content=values.get("utm_content"),
        ad_click_id=_click_id(values),
    )


def parse_referrer(url: str) -> str | None:
    """Return the host of the page before, or the package of an `android-app://`, or None."""
    return _split(url).host


def _split(url: str) -> _Parts:
    """Cut an address at its delimiters; nothing is decoded yet."""
    text, _, fragment = url.strip().partition("#")
    if text == "-":  # a log's word for none
        return _Parts(None, "", "", "")
    text, _, query = text.partition("?")
    route = "#" + fragment if fragment.startswith(("/", "!/")) else ""
    scheme = _SCHEME.match(text)
    name = scheme[1].lower() if scheme else ""
    rest = (text[scheme.end() :] if scheme else text).replace("\\", "/")
    if not rest.startswith("//"):
        # `about:blank`, `data:…`, `javascript:…` have no path that means a page.
        return _Parts(None, "" if scheme else rest, query, route)
    authority, slash, path = rest[2:].partition("/")
    if name in _DEFAULT_PORTS or not name:
        return _Parts(_host(authority, _DEFAULT_PORTS.get(name)), slash + path, query, route)
    if ("." in authority and slash) or authority.lower() == "localhost":
        return _Parts(_host(authority, None), slash + path, query, route)
    return _Parts(None, rest.lstrip("/"), query, route)


def _host(authority: str, default_port: str | None) -> str | None:
    """Clean `user:pw@Host.:443`; None when it cannot be a host. A cut host would be another host."""
    found = _HOST.fullmatch(authority.rpartition("@")[2].lower())
    if not found:
        return None
    host = found[1].rstrip(".")
    if found[2] and found[2] != default_port:
        host += ":" + found[2]
    if len(host) > _HOST_LENGTH_MAX or not any(char.isalnum() for char in host):
        return None
    return host


def _path(path: str) -> str:
    """Make a path, with its route, readable, absolute and short enough."""
    cleaned = _SESSION_IN_PATH.sub("", path.replace("\\", "/"))
    if not cleaned.startswith("/"):
        cleaned = "/" + cleaned
    return _storable(_ESCAPES.sub(_decode_in_path, cleaned))[:_PATH_LENGTH_MAX].rstrip()


def _values(query: str) -> dict[str, str]:
    """Return the first usable value of every parameter that is wanted, under its lower-case name."""
    values: dict[str, str] = {}
    for pair in query.split("&"):
        # `&amp;` is what mail programs and careless templates make of `&`.
        name, equals, raw = pair.removeprefix("amp;").partition("=")
        name = name.strip().lower()
        if equals and name in _WANTED and name not in values:
            value = _storable(_ESCAPES.sub(_decode_run, raw.replace("+", " "))).strip()
            if value:
                values[name] = value[:_VALUE_LENGTH_MAX].rstrip()
    return values


def _click_id(values: dict[str, str]) -> str | None:
    """Name the click by the first id in order of CLICK_ID_NAMES."""
    for key, name in _CLICK_IDS.items():
        if value := values.get(key):
            return f"{name}:{value}"[:_VALUE_LENGTH_MAX]
    return None


def _decode_run(run: re.Match[str]) -> str:
    """Decode a run of `%XX` that is UTF-8, whole or cut off at its end; another stays as it was.

    All or nothing, because parts of another encoding can look like UTF-8: in the CP949 of `주식`,
    `%C1%D6%BD%C4`, the middle is a Hebrew vowel sign.
    """
    octets = bytes.fromhex(run[0].replace("%", ""))
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        if error.reason != "unexpected end of data":
            return run[0]
        return octets[: error.start].decode() + run[0][3 * error.start :]


def _decode_in_path(run: re.Match[str]) -> str:
    return _KEPT_IN_PATH.sub(lambda char: f"%{ord(char[0]):02X}", _decode_run(run))


def _storable(text: str) -> str:
    """Drop line breaks and tabs as browsers do; what else cannot be stored becomes U+FFFD."""
    return _CONTROL.sub("\ufffd", _LINE_BREAKS.sub("", text))
