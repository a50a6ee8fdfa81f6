"""What a number of a person looks like, in a folded text.

Resident and foreigner registration numbers (no check digit since 2020), payment cards (Luhn), Korean phone
numbers, and accounts in the forms of the large banks. Between the parts of a number stands nothing, a few blanks, or
one dash or dot with or without blanks (a plus is a blank, as in a URL's query); behind an area code also a bracket.
"""

import re
import time
from datetime import date, datetime
from typing import Final

from collector_server.fold import fold
from contract.calendar import SEOUL

SEP: Final = r"(?:[ +]{0,4}[.\-][ +]{0,4}|[ +]{1,4})"
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
# Internet telephones and numbers that stand for another: no amount and no time begins so.
_VIRTUAL: Final = r"(?:70|50[2-8])"
_AREA: Final = r"(?:2|[3-6][0-9])"
_BEHIND_AREA: Final = rf"(?:\){SEP}?|{SEP})"
_LINE: Final = rf"[0-9]{{3,4}}{SEP}?[0-9]{{4}}"
_DIRECT: Final = rf"(?:1[016789]|{_VIRTUAL}){_BEHIND_AREA}?{_LINE}"
# The 0 that is not dialled from abroad.
_ZERO: Final = rf"(?:{SEP}?\(0\){SEP}?|{SEP}?\(?0?)"
_ABROAD: Final = r"\(?(?:\+ ?|00 ?)82\)?"
# Without a leading 0 or 82 a mobile number is an amount in won or a time in seconds; behind a plus it is none.
PHONE: Final = (
    rf"(?:{_ABROAD}{_ZERO}|0){_DIRECT}|\(?82\)?{_ZERO}1[016789]{_BEHIND_AREA}?{_LINE}"
    rf"|0{_AREA}{_BEHIND_AREA}{_LINE}|{_ABROAD}{_ZERO}{_AREA}{_BEHIND_AREA}?{_LINE}"
)
# The forms that nothing else has: of Shinhan, K bank, NongHyup, SC, Woori, Kookmin and the post office, Hana, Citibank,
# IBK, KDB, Kakao, Toss; of brokers those that number as banks do. Eight digits and two may be a date with a number.
_DASH: Final = " ?- ?"
_YEAR: Final = r"(?!(?:19|20)[0-9]{2})"
_RECENT_DATE: Final = rf"(?!2[0-9](?:0[1-9]|1[0-2])(?:{_DAY}|3[01]))"
_ACCOUNT_FORMS: Final = (
    (3, 3, 6), (3, 2, 6), (4, 3, 6), (6, 2, 6), (3, 6, 5), (3, 6, 3), (3, 6, 2, 3), (3, 4, 4, 2), (3, 4, 4, 3),
    (4, 2, 7),
)  # fmt: skip
_GUARDS: Final = {4: _YEAR, 6: _RECENT_DATE}


def _form(sizes: tuple[int, ...]) -> str:
    return _GUARDS.get(sizes[0], "") + _DASH.join(f"[0-9]{{{size}}}" for size in sizes)


_TOSS: Final = rf"100[0-9]{_DASH}[0-9]{{4}}{_DASH}[0-9]{{4}}"
# Wider, and without what RE2 does not have: each of the forms has one of the first in it, or begins like the second.
ACCOUNT_PART: Final = rf"[0-9]{{3}}{_DASH}(?:[0-9]{{2,3}}{_DASH}[0-9]{{6}}|[0-9]{{6}}{_DASH}[0-9]{{2}})|{_TOSS}"
ACCOUNT_START: Final = rf"[0-9]{{3}}{_DASH}[0-9]{{4}}{_DASH}[0-9]{{4}}{_DASH}[0-9]{{2}}"

# Made by a machine: what looks like a number in one is chance. The second are hashes and ids of devices and databases:
# only they have so many hexadecimal digits in one run, and a letter among them. What is glued to a UUID is no part.
_HEX: Final = "[0-9a-fA-F]"
UUID: Final = rf"(?<!{_HEX}){_HEX}{{8}}-(?:{_HEX}{{4}}-){{3}}{_HEX}{{12}}(?!{_HEX})"
_HASH: Final = rf"(?:(?<![0-9a-zA-Z])|(?<=\b0[xX]))(?<!{_HEX}{{4}}-)(?=[0-9]*[a-fA-F]){_HEX}{{16,}}(?![0-9a-zA-Z])"
# What is still encoded is a letter or a sign, and its last digit is none of the number behind it.
_ESCAPE: Final = rf"%{_HEX}{{2}}"
_NO_NUMBER: Final = re.compile(f"({UUID}|{_HASH}|{_ESCAPE})")
# As many digits as the shortest number has, near each other.
_DIGITS: Final = re.compile(r"[0-9](?:[ .+()\-]{0,15}[0-9]){7}")
_RESIDENT: Final = re.compile(rf"(?<![0-9]){RESIDENT}(?![0-9])")
# The longest first: the last four digits of nineteen stand in two groups, or in one.
_CARDS: Final = tuple(
    re.compile(rf"(?<![0-9])(?:{card})(?![0-9])")
    for card in (rf"{_FOURS}[0-9]{{4}}{SEP}[0-9]{{1,3}}", rf"{_FOURS}[0-9]{{2,7}}|{_LONG}[0-9]{{4,5}}")
)
_ACCOUNT: Final = re.compile(
    rf"(?<![0-9])(?<![0-9]-)(?:{'|'.join((*map(_form, _ACCOUNT_FORMS), _TOSS))})(?![0-9]|-[0-9])"
)
# A plus begins a number of its own, whatever is before it. The month behind a year is no area code.
_PHONE: Final = re.compile(
    rf"((?<![0-9])20[0-9]{{2}}[.\-]02[.\-][0-9]{{7,8}}(?![0-9]))|(?:(?=\(?\+)|(?<![0-9]))(?:{PHONE})(?![0-9])"
)
_CARD_DIGITS: Final = range(14, 20)
_EPOCH_DAYS: Final = 400
_DAY_MS: Final = 86_400_000

_BORN_BEFORE_2000: Final = "1256"
_BORN_HERE: Final = "1234"
# Until then the two digits behind the century named the region, up to Sejong's.
_REGIONS_UNTIL: Final = date(2020, 10, 5)
_REGION_MAX: Final = 96
_AGE_YEARS_MAX: Final = 100


def mask_numbers(plain: str) -> str:
    """Return the folded text with resident numbers, cards, accounts and phones replaced."""
    if _DIGITS.search(plain) is None:
        return plain
    parts = _NO_NUMBER.split(plain)
    parts[::2] = map(_mask_part, parts[::2])
    return "".join(parts)


def has_resident_number(text: str) -> bool:
    """Say whether an identifier contains a resident or foreigner number, however it is written.

    Thirteen digits of a date and a sequence look like one too: in an identifier, which is lost for ever when it is
    refused, birthday, century and region must be possible ones.
    """
    parts = _NO_NUMBER.split(fold(text))[::2]
    return any(_is_somebody_s(found.group()) for part in parts for found in _RESIDENT.finditer(part))


def _is_somebody_s(number: str) -> bool:
    """Say whether a text of a resident number's form can be one of somebody who is alive."""
    if is_near_epoch(number):
        return False
    digits = "".join(filter(str.isdigit, number))
    century = digits[6]
    try:
        born = date(
            (1900 if century in _BORN_BEFORE_2000 else 2000) + int(digits[:2]), int(digits[2:4]), int(digits[4:6])
        )
    except ValueError:  # 29 February
        return False
    today = datetime.now(SEOUL).date()
    if not (today.year - _AGE_YEARS_MAX, today.month, today.day) < (born.year, born.month, born.day) <= (
        today.year, today.month, today.day,
    ):  # fmt: skip
        return False
    return century not in _BORN_HERE or born >= _REGIONS_UNTIL or int(digits[7:9]) <= _REGION_MAX


def is_near_epoch(text: str) -> bool:
    """Say whether 13 bare digits are milliseconds near now: which of the two cannot be told otherwise."""
    return text.isdigit() and abs(int(text) - time.time_ns() // 1_000_000) < _EPOCH_DAYS * _DAY_MS


def _mask_part(part: str) -> str:
    part = _RESIDENT.sub(lambda found: found.group() if is_near_epoch(found.group()) else "[rrn]", part)
    part = _ACCOUNT.sub("[account]", _mask_cards(part))
    return _PHONE.sub(lambda found: found.group(1) or "[phone]", part)


def _mask_cards(part: str) -> str:
    """Mask every card; one may begin within what only looks like another."""
    for card in _CARDS:
        at = 0
        while (found := card.search(part, at)) is not None:
            if _is_card(found.group()):
                part = f"{part[: found.start()]}[card]{part[found.end() :]}"
            at = found.start() + 1
    return part


def _is_card(text: str) -> bool:
    digits = [int(c) for c in text if c.isdigit()]
    doubled = [d * 2 - 9 if d > 4 else d * 2 for d in digits[-2::-2]]  # noqa: PLR2004 - Luhn
    return len(digits) in _CARD_DIGITS and (sum(digits[-1::-2]) + sum(doubled)) % 10 == 0
