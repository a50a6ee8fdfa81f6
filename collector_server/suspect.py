"""One linear pass over a whole body says whether anything in it may have to be masked or repaired.

The pattern is wider than all that `Masker` masks, in the bytes of a JSON body, and a property test holds the two
together: else an event would be masked or not by the company it keeps. Where a wider pattern is simpler it is
taken, as long as ordinary Korean bodies do not match it: a body looked at closely costs ten times as much.
"""

import re
from collections.abc import Sequence
from typing import Final

import re2

from collector_server.fold import PLUSES, SEPARATORS, SIGNS, UNSEEN, char_class
from collector_server.nobody import NOBODY
from collector_server.personal import ACCOUNT_PART, ACCOUNT_START, CARD_START, PHONE, RESIDENT, UUID, is_near_epoch

_RAW: Final = [char for char in UNSEEN if char >= " "]
_MARK: Final = char_class(char for char, plain in UNSEEN.items() if not plain)
# A line break is written as an escape; other controls are suspicious wherever they stand.
_ODD: Final = rf"(?:{char_class((*SEPARATORS, *_RAW))}|\\[nr])"
_ANY: Final = rf"(?:{char_class((*SEPARATORS, *_RAW, *' .+-()'))}|\\[nr])"
_BETWEEN: Final = f"{_ANY}*"
# Behind an encoded letter the digits are a number's first ones.
_BEFORE: Final = r"(?:[^0-9]|%[0-9A-Fa-f][0-9])"
_SUSPECT: Final = (
    # First, so that nothing longer hides it.
    r"@"
    # An escape may stand for any character; \t parts digits; \b and \f also end in a hex digit, which would hide
    # a UUID's edge.
    r"|\\[ubft]"
    rf"|{char_class(SIGNS)}"
    # An odd separator between digits, as the parts of a number are long: not 10:00 to 15:30, nor 10 to 20 per cent.
    rf"|[0-9]{_BETWEEN}{_ODD}{_BETWEEN}[0-9]{{3}}|(?:82|0\)){_BETWEEN}{_ODD}"
    rf"|[0-9]{{4}}{_BETWEEN}{_ODD}{_BETWEEN}[0-9]{{2}}|[0-9]{_MARK}+[0-9]"
    # Only behind a plus is a number with an area code one from abroad.
    rf"|{char_class(PLUSES)} ?82"
    rf"|{RESIDENT}|{_BEFORE}(?:{CARD_START}|{ACCOUNT_START})|{PHONE}|{ACCOUNT_PART}"
    # Encoded: controls, digits, letters and signs that nobody need encode, and every lead byte but those of Hangul and
    # ideographs. A blank only beside digits.
    r"|%(?:[01][0-9A-Fa-f]|25|2[89BDEbde]|3[0-9]|4[0-9A-Fa-f]|5[0-9AFaf]|6[1-9A-Fa-f]|7[0-9AEFaef]"
    r"|[CDFcdf][0-9A-Fa-f]|[Ee][0-3Ff]|[Ee][Aa]%[89Aa])"
    rf"|%20[0-9+]|(?:[0-9]|{_ANY})%20(?:%|{_ANY})"
    # A number whose digits are others once its exponent is written out.
    r"|[:,\[]\s*-?[0-9]+(?:\.[0-9]+)?[eE]\+?[0-9]"
    rf"|{NOBODY}"
    r'|"(?:page_url|referrer|error_page)"\s*:\s*"(?:[^"\\?#;&]|\\.)*(?:[?#;&]|\\[nr])'
)
# The firm's own patterns may have digits and separators of any number.
_FOLDED: Final = rf"[0-9]{_BETWEEN}{_ODD}|{_ODD}{_BETWEEN}[0-9]|[0-9]{_MARK}|%20"
_UUID_BYTES: Final = re.compile(UUID.encode())
_UUID_CHARS: Final = 36
# As many digits as a time in milliseconds has, a value of its own.
_TIME_BYTES: Final = re.compile(rb'(?:(?<=[:,\["])|(?<=[:,] ))[0-9]{13}(?=[,}\]"])')
_TIME_CHARS: Final = 13
_TIME_KEYS: Final = (b'"time":', b'"time": ')
# Each time it is a walk through the whole body.
_TIMES_TAKEN_OFF_MAX: Final = 4
# So many digits of milliseconds are nearly three hours.
_HOURS_DIGITS: Final = 7
# A number's fraction, which `value` does not read. The quote ends a key: one that begins a text has a bracket,
# a comma, a colon or white space before it, and one within a text has a backslash.
_FRACTION_BYTES: Final = re.compile(rb"""(?<=[^\s:,\[{\\]":)-?[0-9]{1,7}\.[0-9]+(?=[,}])""")
_FRACTION_CHARS: Final = 28
# Of the states that RE2 makes as it meets them, and throws away together when there are too many. With its own 8 MiB
# bodies full of UUIDs cost up to half as much again, by turns.
_MEMORY_BYTES_MAX: Final = 32 * 1024 * 1024
# A body with more look-alikes than this is looked at closely: that costs time, never a wrong answer.
_LOOKALIKES_MAX: Final = 1_000


class Suspicion:
    """The pass, with the firm's own patterns (RE2)."""

    def __init__(self, account_patterns: Sequence[str]) -> None:
        accounts = [f"(?:{pattern})" for pattern in account_patterns]
        if accounts:
            accounts.append(_FOLDED)
        self._account = re2.compile("|".join(accounts).encode()) if accounts else None
        options = re2.Options()
        options.max_mem = _MEMORY_BYTES_MAX
        self._suspect = re2.compile("|".join([_SUSPECT, *accounts]).encode(), options)

    def of(self, body: bytes) -> bool:
        """Say whether a closer look is needed. UUIDs, times and fractions that look personal are stepped over."""
        found = self._suspect.search(body)
        # It may lie in what is stepped over.
        if found is not None and self._account is not None and self._account.search(body) is not None:
            return True
        for steps in range(_LOOKALIKES_MAX):
            if found is None:
                return False
            moment = _time_at(body, found.start())
            end = moment.end() if moment is not None else _lookalike_end(body, found.start(), found.end())
            if end is None:
                return True
            if moment is not None and steps < _TIMES_TAKEN_OFF_MAX:
                body, end = _without_times_like(moment.group(), body[end:]), 0
            found = self._suspect.search(body, end)
        return True


def _time_at(body: bytes, start: int) -> re.Match[bytes] | None:
    """Return the time among whose digits this place is, if it is one."""
    moment = _TIME_BYTES.search(body, max(0, start + 1 - _TIME_CHARS), start + _TIME_CHARS + 1)
    if moment is None or moment.start() > start or not is_near_epoch(moment.group().decode()):
        return None
    return moment


def _without_times_like(moment: bytes, body: bytes) -> bytes:
    """Take the first digits off all events' times of the same hours, or each of fifty would be stepped over alone.

    `"time":` is a key wherever it stands: within a text its quotes would have backslashes.
    """
    hours = moment[:-_HOURS_DIGITS]
    if not all(is_near_epoch(hours.decode() + digit * _HOURS_DIGITS) for digit in "09"):
        return body
    for key in _TIME_KEYS:
        body = body.replace(key + hours, key)
    return body


def _lookalike_end(body: bytes, start: int, end: int) -> int | None:
    """Return where the UUID or fraction ends that looked personal; None when it is none of these.

    The suspicion may begin with the one character before the digits. One that begins earlier is left
    standing: something in front of the UUID may be personal by itself.
    """
    uuid = _UUID_BYTES.search(body, max(0, start + 1 - _UUID_CHARS), start + _UUID_CHARS + 2)
    if uuid is not None and uuid.start() - 1 <= start < uuid.end() and uuid.start() < end:
        return uuid.end()
    number = _FRACTION_BYTES.search(body, max(0, start - _FRACTION_CHARS), start + _FRACTION_CHARS)
    if number is not None and number.start() - 1 <= start < number.end():
        return number.end()
    return None
