"""What an address says: which page, and which campaign brought the visitor. 10 to 25 µs each.

    https://user:pw@WWW.Firm.co.kr:443/%EC%A3%BC%EC%8B%9D;jsessionid=1F?utm_source=naver#/order/buy?c=1
                    └ host ──────┘    └ path ──────┘                   └ utm ─────────┘└ path ────┘

The door masks an address in the pieces in which the processor reads it, and there is one reading, this: where the query
begins, which pieces it has (`pieces_of`), and what a blank, an escape, a line break mean (`read_text`, `read_value`).
Whatever of them changes here is changed for both.

Always true:

- Any `str` has an answer; nothing is raised, and no answer is longer than its column.
- No text in an answer holds a control character (PostgreSQL cannot store NUL) except as `%00`.
- An address is decoded once: `%2541` is `%41`, never `A`. `%2F` stays as it is, because a slash made
  of it would be another page.
- The pieces, joined, are the address, but for line breaks and tabs, which browsers drop too.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import dropwhile, takewhile
from typing import Final, NamedTuple

from msgspec import Struct

from contract.click_ids import CLICK_ID_NAMES

_HOST_LENGTH_MAX: Final = 255
_PATH_LENGTH_MAX: Final = 2048
_VALUE_LENGTH_MAX: Final = 256

_CLICK_IDS: Final = {name.lower(): name for name in CLICK_ID_NAMES}
UTM_NAMES: Final = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
_WANTED: Final = frozenset((*UTM_NAMES, *_CLICK_IDS))
# A campaign's name and its `=`, as people and mail programs write them. Before it a query begins, or another pair, even
# where by the rules it would not: `/a&utm_source=x`, `?a=1?utm_source=x`, `/a%3Futm_source=x`.
_NAMED: Final = rf"(?:utm(?:_|%5F)\w+|{'|'.join(name.replace('_', '(?:_|%5F)') for name in _CLICK_IDS)})"
_AT_CAMPAIGN: Final = re.compile(f"{_NAMED}=", re.IGNORECASE)
_CUT: Final = re.compile(rf"[#&?]|;(?=[^=&;#?]*=)|%3F(?={_NAMED}=)", re.IGNORECASE)
# A whole query that was encoded once too often.
_ENCODED_QUERY: Final = re.compile(rf"(?<=\?){_NAMED}%3D[^=&#]*(?=#|$)", re.IGNORECASE)
_SLASH: Final = re.compile("/|%2F", re.IGNORECASE)
_ENCODED_SIGNS: Final = re.compile(r"%3D|%26", re.IGNORECASE)

# Fragments that are a single-page app's route.
_ROUTES: Final = ("/", "!/")

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
# At the end of a text, read from there: digits and what may stand between them, or a domain behind an `@`.
_HALVED: Final = re.compile(r"[^\w/@:]*\d(?:[^\w/@:]|\d)*|(?:[^\W_]|[.\-])*@[\w.%+\-]*")


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


class Piece(NamedTuple):
    """One piece of an address as it is written: what is in front of it, and `text`, or `text=value`."""

    before: str
    """`#`, `&`, `?`, `;`, `%3F`; of the first piece nothing."""
    text: str
    value: str | None
    is_read: bool
    """Whether it is one of the pairs in which a campaign is looked for; the others, but for plain fragments, are the
    path's."""

    @property
    def name(self) -> str:
        """The pair's name, decoded, in lower case."""
        return read_value(self.text).lower()

    def __str__(self) -> str:
        return self.before + self.text + ("" if self.value is None else f"={self.value}")


class _Parts(NamedTuple):
    host: str | None
    path: str


def parse_page_url(url: str) -> PageUrl:
    """Take a page's address apart: absolute, relative, an app's own scheme, or broken.

    An app's scheme has no host: `mts://order/M0301` is the path `/order/M0301`, or every screen named
    in that place would be `/`; unless the first part can only be a host (`mts://m.firm.kr/M0301`, and
    the `localhost` of WebView shells).
    """
    pieces = pieces_of(url)
    parts = _split("".join(str(piece) for piece in _until_fragment(pieces) if not piece.is_read))
    values = _values(pieces)
    return PageUrl(
        host=parts.host,
        path=_path(parts.path + _route(pieces)),
        utm_source=values.get("utm_source"),
        utm_medium=values.get("utm_medium"),
        utm_campaign=values.get("utm_campaign"),
        utm_term=values.get("utm_term"),
        utm_content=values.get("utm_content"),
        ad_click_id=_click_id(values),
    )


def campaign_of(url: str) -> dict[str, str]:
    """Return what the address says of a campaign, by the names of the event's fields."""
    values = _values(pieces_of(url))
    found: dict[str, str] = {name: values[name] for name in UTM_NAMES if name in values}
    click_id = _click_id(values)
    return found | {"ad_click_id": click_id} if click_id else found


def parse_referrer(url: str) -> str | None:
    """Return the host of the page before, or the package of an `android-app://`, or None."""
    return _split(pieces_of(url)[0].text).host


def pieces_of(url: str) -> list[Piece]:
    """Cut an address at its delimiters; nothing is decoded yet, and nothing but line breaks is lost."""
    url = _ENCODED_QUERY.sub(_with_signs, _LINE_BREAKS.sub("", url))
    pieces: list[Piece] = []
    before, start, in_query = "", 0, False
    for cut in _CUT.finditer(url):
        sign = cut.group()
        is_campaign = _AT_CAMPAIGN.match(url, cut.end()) is not None
        # A second question mark is part of a value, and of an address in one; but a campaign's behind a plain value.
        if in_query and sign not in "#&;" and not (is_campaign and _SLASH.search(url, start, cut.start()) is None):
            continue
        pieces.append(_piece(before, url[start : cut.start()], is_read=in_query))
        before, start = sign, cut.end()
        if sign == "#":
            in_query = not url.startswith(_ROUTES, start)
        in_query = in_query or sign not in "#&;" or is_campaign
    pieces.append(_piece(before, url[start:], is_read=in_query))
    return pieces


def _piece(before: str, text: str, *, is_read: bool) -> Piece:
    if not before:
        return Piece(before, text, None, is_read=False)
    name, equals, value = text.partition("=")
    return Piece(before, name, value if equals else None, is_read)


def _with_signs(query: re.Match[str]) -> str:
    return _ENCODED_SIGNS.sub(lambda sign: "=" if sign.group().upper() == "%3D" else "&", query.group())


def _until_fragment(pieces: list[Piece]) -> Iterator[Piece]:
    return takewhile(lambda piece: piece.before != "#", pieces)


def _route(pieces: list[Piece]) -> str:
    """Return the fragment when it is a single-page app's route, without the route's own query."""
    fragment = dropwhile(lambda piece: piece.before != "#", pieces)
    return "".join(map(str, takewhile(lambda piece: not piece.is_read, fragment)))


def _split(text: str) -> _Parts:
    """Take what is before the query apart."""
    text = text.strip()
    if text == "-":  # a log's word for none
        return _Parts(None, "")
    scheme = _SCHEME.match(text)
    name = scheme[1].lower() if scheme else ""
    rest = (text[scheme.end() :] if scheme else text).replace("\\", "/")
    if not rest.startswith("//"):
        # `about:blank`, `data:…`, `javascript:…` have no path that means a page.
        return _Parts(None, "" if scheme else rest)
    authority, slash, path = rest[2:].partition("/")
    if name in _DEFAULT_PORTS or not name:
        return _Parts(_host(authority, _DEFAULT_PORTS.get(name)), slash + path)
    if ("." in authority and slash) or authority.lower() == "localhost":
        return _Parts(_host(authority, None), slash + path)
    return _Parts(None, rest.lstrip("/"))


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
    cleaned = _SESSION_IN_PATH.sub("", path)
    if not cleaned.startswith(("/", "\\")):
        cleaned = "/" + cleaned
    return _cut(read_text(cleaned), _PATH_LENGTH_MAX).rstrip()


def read_text(raw: str) -> str:
    """Return what a piece of a path means."""
    return _storable(_ESCAPES.sub(_decode_in_path, raw.replace("\\", "/")))


def read_value(raw: str) -> str:
    """Return what a name or value of a query means."""
    return _storable(_ESCAPES.sub(_decode_run, raw.replace("+", " "))).strip()


def _values(pieces: Iterable[Piece]) -> dict[str, str]:
    """Return the first usable value of every parameter that is wanted, under its lower-case name."""
    values: dict[str, str] = {}
    for piece in pieces:
        if piece.value and piece.is_read and (name := piece.name) in _WANTED and name not in values:
            value = read_value(piece.value)
            if value := _cut(value, _VALUE_LENGTH_MAX).rstrip():
                values[name] = value
    return values


def _click_id(values: dict[str, str]) -> str | None:
    """Name the click by the first id in order of CLICK_ID_NAMES."""
    for key, name in _CLICK_IDS.items():
        if value := values.get(key):
            return _cut(f"{name}:{value}", _VALUE_LENGTH_MAX)
    return None


def _cut(text: str, length: int) -> str:
    """Cut a text, and a number or an e-mail address that the cut would halve, for half of one may be another."""
    if len(text) <= length:
        return text
    halved = _HALVED.match(text[:length][::-1])
    return text[: length - halved.end()] if halved else text[:length]


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
