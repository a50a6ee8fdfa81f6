"""What a number of a person looks like, in a folded text.

Resident and foreigner registration numbers (no check digit since 2020), payment cards (Luhn), Korean phone
numbers. Between the parts of a number stands nothing, a blank, or one dash, dot or plus with or without blanks; behind
an area code also a bracket.
"""

import re
import time
from typing import Final

from collector_server.fold import fold

SEP: Final = r"(?: ?[.+\-] ?| )"
# A day that the month has; 29 February in every year.
_DAY: Final = r"0[1-9]|[12][0-9]"
RRN: Final = rf"[0-9]{{2}}(?:(?:0[1-9]|1[0-2])(?:{_DAY})|(?:0[13-9]|1[0-2])30|(?:0[13578]|1[02])31)"
RESIDENT: Final = rf"{RRN}{SEP}?[1-8][0-9]{{6}}"
# The 2 series of Mastercard, without what begins like a year and a month: those are order numbers.
_TWO: Final = r"2(?:2(?:2[1-9]|[3-9][0-9])|[3-6](?:00|1[3-9]|[2-9][0-9])|7(?:00|1[3-9]|20))"
_FOURS: Final = rf"(?:[3-69][0-9]{{3}}|{_TWO})(?:{SEP}?[0-9]{{4}}){{2}}{SEP}?"
_LONG: Final = rf"3[0-9]{{3}}{SEP}?[0-9]{{6}}{SEP}?"
# As many digits as the shortest card has; what follows them decides only whether it is one.
CARD_START: Final = rf"{_FOURS}[0-9]{{2}}|{_LONG}[0-9]{{4}}"
_AREA: Final = r"(?:2|[3-6][0-9]|70|50[2-8])"
_BEHIND_AREA: Final = rf"(?:\){SEP}?|{SEP})"
_LINE: Final = rf"{_BEHIND_AREA}[0-9]{{3,4}}{SEP}[0-9]{{4}}"
_MOBILE: Final = rf"1[016789]{_BEHIND_AREA}?[0-9]{{3,4}}{SEP}?[0-9]{{4}}"
# The 0 that is not dialled from abroad.
_ZERO: Final = rf"(?:{SEP}?\(0\){SEP}?|{SEP}?0?)"
# Without a leading 0 or 82 a mobile number is an amount in won or a time in seconds.
PHONE: Final = rf"(?:\+?82{_ZERO}|0){_MOBILE}|(?:\+82{_ZERO}|0){_AREA}{_LINE}"

# Made by a machine: what looks like a number in one is chance. The second are the usual hashes.
_HEX: Final = "[0-9a-fA-F]"
UUID: Final = rf"(?<!{_HEX}){_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}(?!{_HEX})"
_HASH: Final = (
    rf"(?<![0-9a-zA-Z])(?=[0-9]*[a-fA-F])(?:{_HEX}{{32}}|{_HEX}{{40}}|{_HEX}{{64}}|{_HEX}{{128}})(?![0-9a-zA-Z])"
)
_MACHINE_MADE: Final = re.compile(f"({UUID}|{_HASH})")
_DIGITS: Final = re.compile(rf"\+?[0-9](?:[0-9]|{SEP}(?=[0-9])|\){SEP}?(?=[0-9])|{SEP}?\((?=0\))){{7,}}")
_RESIDENT: Final = re.compile(rf"(?<![0-9]){RESIDENT}(?![0-9])")
# The longest first: the last four digits of nineteen stand in two groups, or in one.
_CARDS: Final = tuple(
    re.compile(rf"(?<![0-9])(?:{card})(?![0-9])")
    for card in (rf"{_FOURS}[0-9]{{4}}{SEP}[0-9]{{1,3}}", rf"{_FOURS}[0-9]{{2,7}}|{_LONG}[0-9]{{4,5}}")
)
# A plus begins a number of its own, whatever is before it.
_PHONE: Final = re.compile(rf"(?:(?=\+)|(?<![0-9]))(?:{PHONE})(?![0-9])")
_CARD_DIGITS: Final = range(14, 20)
_EPOCH_DAYS: Final = 400
_DAY_MS: Final = 86_400_000


def mask_numbers(plain: str) -> str:
    """Return the folded text with resident numbers, cards and phones replaced."""
    if _DIGITS.search(plain) is None:
        return plain
    parts = _MACHINE_MADE.split(plain)
    parts[::2] = [_DIGITS.sub(_mask_run, part) for part in parts[::2]]
    return "".join(parts)


def has_resident_number(text: str) -> bool:
    """Say whether an identifier contains a resident or foreigner number, however it is written."""
    parts = _MACHINE_MADE.split(fold(text))[::2]
    return any(not is_near_epoch(found.group()) for part in parts for found in _RESIDENT.finditer(part))


def is_near_epoch(text: str) -> bool:
    """Say whether 13 bare digits are milliseconds near now: which of the two cannot be told otherwise."""
    return text.isdigit() and abs(int(text) - time.time_ns() // 1_000_000) < _EPOCH_DAYS * _DAY_MS


def _mask_run(match: re.Match[str]) -> str:
    run = _RESIDENT.sub(lambda m: m.group() if is_near_epoch(m.group()) else "[rrn]", match.group())
    return _PHONE.sub("[phone]", _mask_cards(run))


def _mask_cards(run: str) -> str:
    """Mask every card; one may begin within what only looks like another."""
    for card in _CARDS:
        at = 0
        while (found := card.search(run, at)) is not None:
            if _is_card(found.group()):
                run = f"{run[: found.start()]}[card]{run[found.end() :]}"
            at = found.start() + 1
    return run


def _is_card(text: str) -> bool:
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2]]  # noqa: PLR2004 - Luhn
    return len(digits) in _CARD_DIGITS and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
