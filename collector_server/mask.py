"""Personal data out of texts, before anything is written.

Pure: text in, text out. `suspicious` is one linear pass over a whole body that says whether any event
in it needs a closer look; everything else here works on the few texts that do.

What is masked: resident and foreigner registration numbers, payment cards (Luhn), Korean phone
numbers, e-mail addresses, and the firm's account patterns from the settings. In URLs every query value
is dropped unless its name is on the allow-list.
"""

import re
import time
from collections.abc import Iterable
from typing import Any, Final

import re2

_RRN: Final = r"[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
_SEP: Final = r"[ .\-]"
_AREA: Final = r"(?:2|[3-6][0-9]|70|50[2-8])"
_LINE: Final = rf"{_SEP}[0-9]{{3,4}}{_SEP}[0-9]{{4}}"
_MOBILE: Final = rf"1[016789]{_SEP}?[0-9]{{3,4}}{_SEP}?[0-9]{{4}}"
# Wider than everything below, in the bytes of a JSON body: whatever `text` would change is found here.
_SUSPECT: Final = (
    # First, so that nothing longer hides it.
    r"@"
    # An escape may stand for any character; \b and \f also end in a hex digit, which would hide a UUID's edge.
    r"|\\[ubf]"
    rf"|{_RRN}{_SEP}?[1-8][0-9]{{6}}"
    rf"|[^0-9][3-6][0-9]{{3}}{_SEP}?[0-9]{{4}}{_SEP}?[0-9]{{4}}{_SEP}?[0-9]{{2}}"
    rf"|[^0-9]3[47][0-9]{{2}}{_SEP}?[0-9]{{6}}{_SEP}?[0-9]{{5}}"
    rf"|0{_MOBILE}|82{_SEP}?{_MOBILE}|(?:[^0-9]0|\+82{_SEP}?0?){_AREA}{_LINE}"
    # A float that is a resident or card number once its exponent is written out.
    r"|[0-9]\.[0-9]+[eE]\+?1[0-9]"
    r"|%40"
    r'|"(?:page_url|referrer|error_page)"\s*:\s*"(?:[^"\\?#;&]|\\.)*[?#;&]'
)
_UUID_TEXT: Final = r"(?<![0-9a-fA-F])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![0-9a-fA-F])"
_UUID: Final = re.compile(_UUID_TEXT)
_UUID_BYTES: Final = re.compile(_UUID_TEXT.encode())
_UUID_CHARS: Final = 36
# As many digits as a time in milliseconds has, joined to no others.
_TIME_BYTES: Final = re.compile(rf"(?<![0-9])(?<![0-9]{_SEP})[0-9]{{13}}(?!{_SEP}?[0-9])".encode())
_TIME_CHARS: Final = 13
# A number's fraction, which `value` does not read. The quote ends a key: one that begins a text has a bracket,
# a comma, a colon or white space before it, and one within a text has a backslash.
_FRACTION_BYTES: Final = re.compile(rb"""(?<=[^\s:,\[{\\]":)-?[0-9]{1,7}\.[0-9]+(?=[,}])""")
_FRACTION_CHARS: Final = 28
# A body with more look-alikes than this is looked at closely: that costs time, never a wrong answer.
_LOOKALIKES_MAX: Final = 1_000
_EMAIL: Final = re2.compile(r"[A-Za-z0-9._%+\-]{1,64}(?:@|%40)[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63})+")
_DIGITS: Final = re.compile(rf"\+?[0-9](?:[0-9]|{_SEP}(?=[0-9])){{7,}}")
_RESIDENT: Final = re.compile(rf"(?<![0-9]){_RRN}{_SEP}?[1-8][0-9]{{6}}(?![0-9])")
_CARD: Final = re.compile(
    rf"(?<![0-9])(?:[3-6][0-9]{{3}}(?:{_SEP}?[0-9]{{4}}){{2}}{_SEP}?[0-9]{{2,7}}"
    rf"|3[47][0-9]{{2}}{_SEP}?[0-9]{{6}}{_SEP}?[0-9]{{5}})(?![0-9])"
)
# Without a leading 0 or 82 a mobile number is an amount in won or a time in seconds.
_PHONE: Final = re.compile(rf"(?<![0-9])(?:(?:\+?82{_SEP}?0?|0){_MOBILE}|(?:\+82{_SEP}?0?|0){_AREA}{_LINE})(?![0-9])")
_CARD_DIGITS: Final = range(14, 20)
_EPOCH_DAYS: Final = 400
_DAY_MS: Final = 86_400_000
CLICK_IDS: Final = frozenset(
    {
        "gclid",
        "gbraid",
        "wbraid",
        "dclid",
        "fbclid",
        "msclkid",
        "ttclid",
        "twclid",
        "yclid",
        "n_ad",
        "napm",
        "kclid",
    }
)


class Masker:
    """Masks by the built-in patterns and the firm's own."""

    def __init__(self, query_values_kept: Iterable[str] = (), account_patterns: Iterable[str] = ()) -> None:
        accounts = list(account_patterns)
        self._kept = frozenset(name.lower() for name in query_values_kept)
        self._accounts = [re2.compile(pattern) for pattern in accounts]
        grouped = [f"(?:{pattern})" for pattern in accounts]
        self._account = re2.compile("|".join(grouped).encode()) if grouped else None
        self._suspect = re2.compile("|".join([_SUSPECT, *grouped]).encode())

    def suspicious(self, body: bytes) -> bool:
        """Say whether anything in the body might have to be masked or repaired: one linear pass.

        UUIDs, times and fractions look like personal numbers now and then: those are stepped over.
        """
        found = self._suspect.search(body)
        if found is not None and self._account is not None and self._account.search(body) is not None:
            return True
        for _ in range(_LOOKALIKES_MAX):
            if found is None:
                return False
            end = _lookalike_end(body, found.start(), found.end())
            if end is None:
                return True
            found = self._suspect.search(body, end)
        return True

    def text(self, text: str) -> str:
        """Return the text with personal data replaced."""
        if "@" in text or "%40" in text:
            text = _EMAIL.sub("[email]", text)
        for pattern in self._accounts:
            text = pattern.sub("[account]", text)
        if not any(c in "0123456789" for c in text):
            return text
        kept = _UUID.split(text)
        if len(kept) == 1:
            return _DIGITS.sub(_mask_run, text)
        ids = _UUID.findall(text)
        parts = [_DIGITS.sub(_mask_run, part) for part in kept]
        return "".join(part + uuid for part, uuid in zip(parts, [*ids, ""], strict=True))

    def without_query_values(self, url: str) -> str:
        """Return the URL with every query value dropped that is not on the allow-list."""
        return _filter_query(url, self._kept)

    def value(self, value: Any) -> Any:
        """Mask a JSON value, keys and all."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(str(k)): self.value(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self.value(v) for v in value]
        if isinstance(value, int | float) and not isinstance(value, bool):
            digits = str(int(value)) if value == value and abs(value) < 1e20 else ""  # noqa: PLR0124, PLR2004
            return value if self.text(digits) == digits else self.text(digits)
        return value


def has_resident_number(text: str) -> bool:
    """Say whether an identifier contains a resident or foreigner number."""
    return any(not _is_near_epoch(m.group()) for m in _RESIDENT.finditer(text))


def _lookalike_end(body: bytes, start: int, end: int) -> int | None:
    """Return where the UUID, time or fraction ends that looked personal; None when it is none of these.

    The suspicion may begin with the one character before the digits. One that begins earlier is left
    standing: something in front of the UUID may be personal by itself.
    """
    uuid = _UUID_BYTES.search(body, max(0, start + 1 - _UUID_CHARS), start + _UUID_CHARS + 2)
    if uuid is not None and uuid.start() - 1 <= start < uuid.end() and uuid.start() < end:
        return uuid.end()
    moment = _TIME_BYTES.search(body, max(0, start + 1 - _TIME_CHARS), start + _TIME_CHARS + 2)
    if moment is not None and moment.start() <= start < moment.end() and _is_near_epoch(moment.group().decode()):
        return moment.end()
    number = _FRACTION_BYTES.search(body, max(0, start - _FRACTION_CHARS), start + _FRACTION_CHARS)
    if number is not None and number.start() - 1 <= start < number.end():
        return number.end()
    return None


def _mask_run(match: re.Match[str]) -> str:
    run = _RESIDENT.sub(lambda m: m.group() if _is_near_epoch(m.group()) else "[rrn]", match.group())
    run = _CARD.sub(lambda m: "[card]" if _is_card(m.group()) else m.group(), run)
    return _PHONE.sub("[phone]", run)


def _is_card(text: str) -> bool:
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2]]  # noqa: PLR2004 - Luhn
    return len(digits) in _CARD_DIGITS and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0


def _is_near_epoch(text: str) -> bool:
    """Say whether 13 bare digits are milliseconds near now: which of the two cannot be told otherwise."""
    return text.isdigit() and abs(int(text) - time.time_ns() // 1_000_000) < _EPOCH_DAYS * _DAY_MS


def _filter_query(url: str, kept: frozenset[str]) -> str:
    if "?" not in url and "#" not in url and "=" not in url:
        return url
    return _PAIR.sub(lambda m: m.group() if _is_kept(m.group(2), kept) else f"{m.group(1)}{m.group(2)}=", url)


_PAIR: Final = re.compile(r"([?&;#])([^=&;#?]*)=([^&;#]*)")


def _is_kept(name: str, kept: frozenset[str]) -> bool:
    name = name.lower()
    return name.startswith("utm_") or name in CLICK_IDS or name in kept
