"""The channel rules file: TOML that operators edit, checked whole before any of it is used.

    internal_hosts = ["firm.co.kr"]        # the firm's own sites
    extends_builtin = true                 # these rules first, then the ones that Sillok brings

    [[rule]]
    channel = "email"
    utm_medium = ["email", "edm"]          # any of these, and every other key of the rule too

How a text matches is written once, at the top of `channels.toml`. Always true of a file that loads:

- Every visit has a channel: the last rule, and no other, has no condition.
- No key is ignored: an unknown one is an error, not a rule that silently never fires.
"""

import hashlib
import re
import tomllib
import unicodedata
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any, Final, Literal, get_args

from msgspec import Struct

from contract.errors import RuleFileBroken

Channel = Literal[
    "direct",
    "organic_search",
    "paid_search",
    "social",
    "email",
    "push",
    "referral",
    "paid_other",
    "internal",
    "app",
]
_CHANNELS: Final[tuple[str, ...]] = get_args(Channel)
_PLATFORMS: Final = ("web", "android", "ios", "server")
_FILE_KEYS: Final = ("internal_hosts", "extends_builtin", "rule")

_BUILTIN_NAME: Final = "channels.toml (built in)"
_NEVER: Final = re.compile(r"(?!)")
_SEPARATORS: Final = re.compile(r"[\s_\-.+\u2010-\u2015\u2212]+")
# What word processors, messengers and careless templates put around a word, or inside it where nobody sees it.
_QUOTES: Final = re.compile("[\"'`\u00b4\u2018-\u201f\u2039\u203a\u00ab\u00bb\u300c-\u300f]")
_BLANK_LETTERS: Final = frozenset("\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # Hangul fillers and their kin
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Co", "Cn", "Cs"})
# What tracking templates and analytics tools write when there is nothing to say.
_PLACEHOLDERS: Final = frozenset(
    {"", "(none)", "(direct)", "(not_set)", "none", "null", "undefined", "nan"},
)
_FIRST_LABEL: Final = re.compile(r"[\w-]+\.")
_ANYWHERE: Final = re.compile(r"_\w+_", re.ASCII)
# What stands before a host's first label for those who come by telephone.
_BEFORE_LABEL: Final = r"(?:(?:m|mobile)\.)?"
_APP: Final = "android-app://"
_HOST_PATTERN: Final = re.compile(r"=?[^\s*/:=@?#]+(?:\.\*)?")
# `google.*` is google.com, google.de, google.co.kr, google.com.br; never google.evil.example.
_COUNTRY_ENDING: Final = r"\.(?:(?:co|com|or|ne|net|org)\.)?[a-z]{2,3}"
_RULE_HEADER: Final = re.compile(r"^[ \t]*\[\[[ \t]*rule[ \t]*\]\]", re.MULTILINE)


class ChannelRulesError(RuleFileBroken, ValueError):
    """The channel rules file has an error; the message names the file, the rule, the key and why."""


class Rule(Struct, frozen=True):
    """One rule: its channel, and the patterns that facts must match; none at all matches every visit."""

    channel: Channel
    conditions: tuple[tuple[str, re.Pattern[str]], ...]


class RulesFile(Struct, frozen=True):
    """A checked rules file: rules in the order they are tried, and which hosts are the firm's own."""

    rules: tuple[Rule, ...]
    internal_hosts: re.Pattern[str]
    sha256: str
    """Of the file and of the built-in rules, which it may extend."""


def normalise_word(value: str | None) -> str | None:
    """Make `App-Push`, `“app+push”` and `app_push` one word; what stands for nothing becomes None."""
    if not value:
        return None
    if value.isascii() and value.isalnum():
        word = value.lower()
    else:
        seen = "".join(c for c in value if c.isspace() or not _is_invisible(c))
        plain = _QUOTES.sub("", unicodedata.normalize("NFKC", seen).casefold())
        word = _SEPARATORS.sub("_", plain).strip("_")
    return None if word in _PLACEHOLDERS else word


def _is_invisible(char: str) -> bool:
    return char in _BLANK_LETTERS or unicodedata.category(char) in _INVISIBLE


def read_rules(path: Path | None) -> RulesFile:
    """Read and check a rules file, or the built-in one for None; raises ChannelRulesError."""
    if path is None:
        return parse_rules(_builtin(), _BUILTIN_NAME)
    try:
        return parse_rules(path.read_bytes(), str(path))
    except OSError as error:
        raise ChannelRulesError(f"{path}: cannot be read: {error.strerror}") from error


def parse_rules(data: bytes, name: str) -> RulesFile:
    """Check the content of a rules file; raises ChannelRulesError, which says `name`, the line and why."""
    try:
        # Windows editors put a byte-order mark first, which TOML does not allow.
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ChannelRulesError(f"{name}: line {line}: not UTF-8; save the file as UTF-8") from error
    return _parse(text, name, hashlib.sha256(data + _builtin()).hexdigest())


def _builtin() -> bytes:
    return (resources.files(__package__ or "processor.enrich") / "channels.toml").read_bytes()


def _parse(text: str, name: str, sha256: str) -> RulesFile:
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ChannelRulesError(f"{name}: not TOML: {error}") from error

    def at(key: str) -> str:
        return f"{name}: {_line_of(text, key)}{key}"

    _refuse_unknown(table, _FILE_KEYS, at)
    extends = table.get("extends_builtin", False)
    if not isinstance(extends, bool):
        raise ChannelRulesError(f"{at('extends_builtin')}: must be true or false")
    specs = table.get("rule", [])
    if not isinstance(specs, list) or not all(isinstance(spec, dict) for spec in specs):
        raise ChannelRulesError(f"{at('rule')}: rules begin with [[rule]]")
    places = _places(text, len(specs), name)
    rules = tuple(_rule(spec, place) for spec, place in zip(specs, places, strict=True))
    if extends:
        rules += read_rules(None).rules
    _check_last(rules, places, name)
    own = _patterns(table.get("internal_hosts", []), _host_pattern, at("internal_hosts"), empty=True)
    return RulesFile(rules, own, sha256)


def _line_of(text: str, key: str) -> str:
    """Say in which line a top-level key stands, when that can be seen."""
    found = re.search(rf"^[ \t]*[\"']?{re.escape(key)}[\"']?[ \t]*=", text, re.MULTILINE)
    return f"line {text.count(chr(10), 0, found.start()) + 1}: " if found else ""


def _places(text: str, count: int, name: str) -> list[str]:
    """Say where each rule is, for error messages: its number, and its line when that is certain."""
    lines = [text.count("\n", 0, found.end()) + 1 for found in _RULE_HEADER.finditer(text)]
    if len(lines) != count:
        return [f"{name}: rule {number + 1}" for number in range(count)]
    return [f"{name}: rule {number} (line {line})" for number, line in enumerate(lines, 1)]


def _rule(spec: dict[str, Any], place: str) -> Rule:
    _refuse_unknown(spec, ("channel", *_CONDITIONS), lambda key: f"{place}: {key}")
    channel = spec.get("channel")
    if channel not in _CHANNELS:
        problem = "is missing" if channel is None else f"{channel!r} is unknown"
        raise ChannelRulesError(f"{place}: channel: {problem}; one of {', '.join(_CHANNELS)}")
    conditions = tuple(
        (key, _patterns(wanted, _CONDITIONS[key], f"{place}: {key}"))
        for key, wanted in spec.items()
        if key != "channel"
    )
    return Rule(channel, conditions)


def _check_last(rules: tuple[Rule, ...], places: list[str], name: str) -> None:
    """Refuse a file in which a visit could find no rule, or a rule no visit."""
    for rule, place in zip(rules[:-1], places, strict=False):
        if not rule.conditions:
            raise ChannelRulesError(f"{place}: has no condition, so no rule after it is ever tried")
    if not rules or rules[-1].conditions:
        raise ChannelRulesError(
            f"{places[-1] if places else name}: the last rule must have a channel and no condition, for visits that"
            " match no other (or set extends_builtin = true)"
        )


def _refuse_unknown(table: dict[str, Any], known: tuple[str, ...], place: Callable[[str], str]) -> None:
    for key in table:
        if key not in known:
            raise ChannelRulesError(f"{place(key)}: unknown key; one of {', '.join(known)}")


def _patterns(
    wanted: object, compile_one: Callable[[object], str], place: str, *, empty: bool = False
) -> re.Pattern[str]:
    """Make one pattern of a value or a list of values."""
    values = wanted if isinstance(wanted, list) else [wanted]
    if not values:
        if empty:
            return _NEVER
        raise ChannelRulesError(f"{place}: an empty list matches nothing; leave the key out")
    try:
        return re.compile("|".join(f"(?:{compile_one(value)})" for value in values), re.DOTALL)
    except ValueError as error:
        raise ChannelRulesError(f"{place}: {error}") from error


def _word_pattern(value: object) -> str:
    word = _starred(normalise_word(_text(value)))
    return rf"(?:.*(?<![a-z]))?{word}(?:(?![a-z]).*)?" if _ANYWHERE.fullmatch(_text(value)) else word


def _path_pattern(value: object) -> str:
    path = _text(value).casefold()
    if not path.startswith(("/", "*")):
        raise ValueError(f"{path!r} is not a path such as /dialog/oauth or */oauth/*")
    return _starred(path)


def _click_pattern(value: object) -> str:
    text = _text(value).casefold()
    return _starred(text if ":" in text or text == "*" else text + ":*")


def _starred(text: str | None) -> str:
    if not text:
        raise ValueError("a text that stands for nothing matches nothing")
    return ".*".join(map(re.escape, text.split("*")))


def _host_pattern(value: object) -> str:
    text = _text(value).lower()
    if text == "*":
        return ".+"
    if _FIRST_LABEL.fullmatch(text):
        return rf"{_BEFORE_LABEL}{re.escape(text[:-1])}\d*\..+"
    if text.startswith(_APP) and text.endswith(".*"):
        return re.escape(text.removeprefix(_APP).removesuffix("*")) + ".+"
    if text.startswith(_APP):
        text = "=" + text.removeprefix(_APP).rstrip("/")
    host = text.rstrip(".")
    if not _HOST_PATTERN.fullmatch(host):
        raise ValueError(f"{host!r} is not a host such as naver.com, =www.naver.com, google.* or mail.")
    below = "" if host.startswith("=") else r"(?:.+\.)?"
    name, star, _ = host.removeprefix("=").partition(".*")
    return below + re.escape(name) + (_COUNTRY_ENDING if star else "")


def _platform_pattern(value: object) -> str:
    if value not in _PLATFORMS:
        raise ValueError(f"{value!r} is unknown; one of {', '.join(_PLATFORMS)}")
    return str(value)


def _same_site_pattern(value: object) -> str:
    if value is not True:
        raise ValueError("can only be true; leave it out otherwise")
    return "yes"


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text or a list of texts, none of them empty")
    return value.strip()


_CONDITIONS: Final[dict[str, Callable[[object], str]]] = {
    "utm_source": _word_pattern,
    "utm_medium": _word_pattern,
    "utm_campaign": _word_pattern,
    "ad_click_id": _click_pattern,
    "referrer_host": _host_pattern,
    "referrer_path": _path_pattern,
    "page_host": _host_pattern,
    "platform": _platform_pattern,
    "same_site": _same_site_pattern,
}
