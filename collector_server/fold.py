"""One spelling for what is written in many: digits, and what stands between and beside them.

A Korean input method makes full-width digits and long dashes, a browser percent-encodes, a proxy encodes once
more. Patterns of personal numbers are written in ASCII; they are held against a folded text. Folding keeps
everything that cannot be part of a number as it is, so that a URL stays the same URL.

The character classes are Python's own Unicode, here and in the pass over a body, so that both always agree.
"""

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

_DOTS: Final = "·•‧∙⋅・･ㆍ．。｡﹒"  # noqa: RUF001 - that they look alike is the point
# Beside what Unicode calls a dash: a minus, a soft hyphen, a line, a long vowel mark, a Korean vowel.
_DASHES: Final = "−\u00ad˗⁃─━ーｰㅡ"  # noqa: RUF001
# Letters and signs that show nothing: Hangul's fillers, the empty Braille pattern; and what a NUL becomes.
_FILLERS: Final = "\u115f\u1160\u3164\uffa0\u2800\ufffd"
_ATS: Final = "＠﹫"  # noqa: RUF001
PLUSES: Final = "＋﹢"  # noqa: RUF001
# Round an area code: 02)123-4567.
_BRACKETS: Final = {"（": "(", "﹙": "(", "）": ")", "﹚": ")"}  # noqa: RUF001
# Beyond lie ideographs and private characters: no digit, dash or space.
_LAST: Final = 0x1FFFF
_ROUNDS_MAX: Final = 3


def _folded() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return what is written instead of each odd digit or `@`, of each odd separator, and of what nobody sees."""
    signs = dict.fromkeys(_ATS, "@")
    separators = {
        **dict.fromkeys(_DOTS, "."),
        **dict.fromkeys(_DASHES, "-"),
        **dict.fromkeys(PLUSES, "+"),
        **_BRACKETS,
    }
    unseen = dict.fromkeys(_FILLERS, " ")
    for char in map(chr, range(_LAST + 1)):
        category = unicodedata.category(char)
        if category == "Nd" and not char.isascii():
            signs[char] = str(unicodedata.decimal(char))
        elif category == "Pd" and not char.isascii():
            separators.setdefault(char, "-")
        elif category == "Zs" and not char.isascii():
            separators[char] = " "
        elif category in {"Cc", "Cf", "Zl", "Zp"} and char not in separators:
            # Line breaks, controls, direction marks, joiners.
            unseen[char] = " "
        elif category in {"Mn", "Me"}:
            # The rim of a keycap, an underline: they belong to the digit before them.
            unseen[char] = ""
    return signs, separators, unseen


SIGNS, SEPARATORS, UNSEEN = _folded()
# Only an address has letters; full-width ones stand in many a product's name.
_LETTERS: Final = {0xFF00 + ord(c) - 0x20: c for c in map(chr, range(0x21, 0x7F)) if c.isalpha()}
_PLAIN: Final = str.maketrans({**SIGNS, **SEPARATORS})
_UNSEEN: Final = str.maketrans(UNSEEN)
# What RFC 3986 says need not be encoded, and what a number or an address may hold; `%` for what is encoded twice.
_DECODED: Final = {
    **_PLAIN,
    **_UNSEEN,
    **_LETTERS,
    **{ord(c): c for c in map(chr, range(0x20, 0x7F)) if c.isalnum() or c in "-._~@+ %()"},
}
_ENCODED: Final = re.compile(r"(?:%(?:25)*[0-9A-Fa-f]{2})+")
_ONE: Final = re.compile(r"%(?:25)*([0-9A-Fa-f]{2})")


_LAST_LOOKED_UP: Final = "\uffff"
_BEYOND: Final = "\U00010000-\U0010ffff"


def char_class(chars: Iterable[str]) -> str:
    """Return a character class of these, in neighbours' ranges, for `re` and for RE2."""
    ranges: list[list[int]] = []
    for code in sorted(map(ord, chars)):
        if ranges and code == ranges[-1][1] + 1:
            ranges[-1][1] = code
        else:
            ranges.append([code, code])
    return "[" + "".join(f"{re.escape(chr(first))}-{re.escape(chr(last))}" for first, last in ranges) + "]"


def any_of(chars: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that finds these and every character beyond U+FFFF.

    To `re` those up to there are one look-up, and every range beyond is a comparison, at each character of a text.
    """
    return re.compile(f"[{char_class(char for char in chars if char <= _LAST_LOOKED_UP)[1:-1]}{_BEYOND}]")


_STRANGE: Final = any_of((*SIGNS, *SEPARATORS, *UNSEEN))
_NOTHING: Final = char_class(UNSEEN)
_MARKS: Final = char_class(char for char, plain in UNSEEN.items() if not plain)
# Elsewhere they stay: a stack trace has its lines, and a family's picture its joiners.
_WITHIN_A_NUMBER: Final = re.compile(rf"(?<=[0-9().+\-])[ {_NOTHING[1:]}+(?=[0-9().+\-])|(?<=[0-9]){_MARKS}+")
_BESIDE_AN_AT: Final = re.compile(rf"{_NOTHING}+(?=@)|(?<=@){_NOTHING}+")
# Where an address may be broken over two lines.
_ZERO_WIDTH: Final = char_class(char for char in UNSEEN if unicodedata.category(char) == "Cf")
_WITHIN_AN_ADDRESS: Final = re.compile(rf"(?<=[A-Za-z.@\-]){_ZERO_WIDTH}+(?=[A-Za-z0-9.@\-])")


def fold(text: str) -> str:
    """Return the text with digits, separators and `@` as ASCII, however they were written or encoded."""
    is_strange = _STRANGE.search(text) is not None
    if is_strange:
        text = text.translate(_PLAIN)
    if "%" in text:
        for _ in range(_ROUNDS_MAX):
            decoded = _ENCODED.sub(_decoded, text)
            if decoded == text:
                break
            text = decoded
    if "@" in text:
        text = text.translate(_LETTERS)
        if is_strange:
            text = _WITHIN_AN_ADDRESS.sub("", _BESIDE_AN_AT.sub("", text))
    return _WITHIN_A_NUMBER.sub(lambda found: found.group().translate(_UNSEEN), text) if is_strange else text


def _decoded(match: re.Match[str]) -> str:
    """Decode of a run of encoded bytes the characters that are folded; leave the others encoded as they are."""
    encoded = list(_ONE.finditer(match.group()))
    values = bytes(int(one.group(1), 16) for one in encoded)
    parts: list[str] = []
    at = 0
    while at < len(values):
        width = _width(values[at])
        try:
            plain = _DECODED.get(ord(values[at : at + width].decode()))
        except (UnicodeDecodeError, TypeError):  # not UTF-8, or cut short
            plain = None
        width = 1 if plain is None else width
        parts.append(encoded[at].group() if plain is None else plain)
        at += width
    return "".join(parts)


def _width(lead: int) -> int:
    """Return how many bytes the character has that begins with this one."""
    return 1 + (lead >= 0xC0) + (lead >= 0xE0) + (lead >= 0xF0)  # noqa: PLR2004 - UTF-8
