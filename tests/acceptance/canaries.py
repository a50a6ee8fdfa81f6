"""Personal data that never was anybody's, each number of its own, in every writing; and how to find it again.

The finder shares nothing with the masks: it takes a text apart until only bare digits and letters are left.
"""

# ruff: noqa: RUF001 - look-alikes are the point

import itertools
import json
import re
import unicodedata
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any, Final

# A digit that is to be written as a JSON escape; `dumped` does it.
_ESCAPED: Final = 0xE000


class Canary:
    """One piece of personal data in one writing."""

    def __init__(self, kind: str, writing: str, text: str, trace: str) -> None:
        self.name = f"{kind}, {writing}"
        self.kind = kind
        self.text = text
        self.trace = trace
        """What is left of it when it is stripped of all that is no digit (or, of an address, no letter)."""

    @property
    def number(self) -> int | str:
        """The same as a number, where it can be one."""
        return int(self.text) if self.text.isascii() and self.text.isdigit() and self.text[0] != "0" else self.text


def _luhn(digits: str) -> str:
    doubled = sum(sum(divmod(2 * int(d), 10)) for d in digits[::-2])
    return digits + str(-(doubled + sum(map(int, digits[-2::-2]))) % 10)


# Between digits: blanks, dashes, dots and the like, and what escapes them.
_BETWEEN: Final = re.compile(r"(?<=\d)(?:[^\w\"':;,/(){}\[\]=&?]|\\t){1,4}(?=\d)")
# Of the n-th canary of a kind, its parts.
_PARTS: Final[dict[str, Callable[[int], list[str]]]] = {
    "resident number": lambda n: [f"{70 + n % 30}0829", f"2{(n * 7919 + 104_729) % 970_000:06}"],
    "foreigner number": lambda n: [f"{n % 15:02}1231", f"7{(n * 7907 + 310_481) % 10**6:06}"],
    "card": lambda n: re.findall("....", _luhn(f"5387{(n * 7_368_787 + 20_160_311) % 10**11:011}")),
    "mobile": lambda n: ["010", f"{7300 + n % 600}", f"{(n * 997 + 3571) % 10**4:04}"],
    "landline": lambda n: ["0507", f"{7000 + n % 200}", f"{(n * 991 + 5519) % 10**4:04}"],
    "account": lambda n: ["987", f"{n % 100:02}", f"{(n * 7883 + 611_953) % 10**6:06}"],
}
_NEEDS_DASHES: Final = {"landline", "account"}


def _full_width(text: str) -> str:
    return "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in text)


def _encoded(text: str) -> str:
    return "".join(f"%{byte:02X}" for byte in text.encode())


def _escaped(text: str) -> str:
    return "".join(chr(_ESCAPED + int(c)) if c in "0123456789" else c for c in text)


_WRITINGS: Final[dict[str, Callable[[list[str]], str]]] = {
    "bare": "".join,
    "blanks": " ".join,
    "dashes": "-".join,
    "dots": ".".join,
    "dashes in blanks": " - ".join,
    "tabs": "\t".join,
    "long dashes": "–".join,
    "no-break blanks": "\u00a0".join,
    "full-width": lambda parts: _full_width("".join(parts)),
    "full-width with dashes": lambda parts: _full_width("-".join(parts)),
    "percent-encoded": lambda parts: _encoded("-".join(parts)),
    "percent-encoded twice": lambda parts: _encoded(_encoded("-".join(parts))),
    "percent signs encoded": lambda parts: _encoded("".join(parts)).replace("%", "%25"),
    "full-width percent-encoded": lambda parts: _encoded(_full_width("-".join(parts))),
    "escaped": lambda parts: _escaped("".join(parts)),
    "escaped with dashes": lambda parts: _escaped("-".join(parts)),
}
_ADDRESSES: Final[dict[str, Callable[[str], str]]] = {
    "plain": str,
    "full-width": _full_width,
    "percent-encoded": lambda text: text.replace("@", "%40"),
    "percent-encoded twice": lambda text: text.replace("@", "%2540"),
}


def canaries() -> Iterator[Canary]:
    """Yield new canaries without end: every kind in every writing, again and again with other digits."""
    for n in itertools.count(1):
        for kind, parts_of in _PARTS.items():
            for at, (writing, write) in enumerate(_WRITINGS.items()):
                parts = parts_of(n * len(_WRITINGS) + at)
                text = write(parts)
                # Without dashes these are any other digits; the firm's pattern and the landline's say how they stand.
                if kind in _NEEDS_DASHES and not re.search(r"[^\d\ue000-\ue009]", _decoded(text)):
                    continue
                if kind == "account" and set(re.sub(r"\d|[\ue000-\ue009]", "", _decoded(text))) - set("-–－"):
                    continue
                yield Canary(kind, writing, text, "".join(parts))
        for writing, write in _ADDRESSES.items():
            name = (
                "".join(chr(ord("a") + int(d)) for d in f"{n:05}") + writing.replace(" ", "").replace("-", "") + "end"
            )
            yield Canary("address", writing, write(f"canary.{name}@example.co.kr"), f"canary{name}")


def dumped(value: Any) -> bytes:
    """Write JSON, with the digits escaped that are to be."""
    text = json.dumps(value, ensure_ascii=False)
    return re.sub("[\ue000-\ue009]", lambda m: f"\\u003{ord(m.group()) - _ESCAPED}", text).encode()


def sent_as_text(text: str) -> str:
    """Return a text for where no JSON escapes are."""
    return re.sub("[\ue000-\ue009]", lambda m: str(ord(m.group()) - _ESCAPED), text)


def _decoded(text: str) -> str:
    while (decoded := urllib.parse.unquote(text)) != text:
        text = decoded
    return text


def _traces(text: str) -> tuple[set[str], str]:
    """Return what is left of a text: its numbers, without what may stand between their digits; and its letters."""
    plain = re.sub(r"\\u([0-9a-fA-F]{4})", lambda m: chr(int(m.group(1), 16)), text)
    plain = unicodedata.normalize("NFKC", _decoded(plain))
    return set(re.findall(r"\d+", _BETWEEN.sub("", plain))), "".join(re.findall("[a-z]", plain.casefold()))


class Finder:
    """Searches texts for canaries that were let loose."""

    def __init__(self) -> None:
        self.loose: dict[str, str] = {}

    def let_loose(self, flock: list[Canary], door: str) -> None:
        for canary in flock:
            assert canary.trace not in self.loose, "each canary is let loose once"
            self.loose[canary.trace] = f"{canary.name}, through {door}"

    def found_in(self, data: bytes) -> list[str]:
        """Return the canaries in these bytes, by their names."""
        numbers, letters = _traces(data.decode(errors="replace"))
        words = [trace for trace in self.loose if not trace.isdigit() and trace in letters]
        return [self.loose[trace] for trace in (*(numbers & self.loose.keys()), *words)]
