"""What may stay of an address: query values by their names, and no number of a person in any piece as it is read.

A name says enough, a value may be anybody's: campaigns, click ids and the settings' harmless names keep theirs. What
stays is masked in the pieces in which the processor reads it, and decoded as it decodes them (`contract.urls`): two
readers who cut differently would make one number of what was taken for two.
"""

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import quote

from contract.click_ids import CLICK_ID_NAMES
from contract.urls import Piece, pieces_of, read_text, read_value

_CLICK_IDS: Final = frozenset(name.lower() for name in CLICK_ID_NAMES)
# `//user:password@host`: secrets, and half of them look like an e-mail address.
_LOGIN: Final = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*:)?//[^/\\?#]*@")
# A masked piece is written as it was read, but for what would cut it.
_CUTS: Final = re.compile(r"[\s?#&;=+]")
# Each round decodes once more.
_ROUNDS_MAX: Final = 4


def without_query_values(url: str, kept: frozenset[str]) -> str:
    """Return the URL with every query value dropped whose lower-case name is neither known nor in `kept`."""
    if "?" not in url and "#" not in url and "=" not in url:
        return url
    return "".join(str(piece._replace(value="") if _is_dropped(piece, kept) else piece) for piece in pieces_of(url))


def masked_url(url: str, mask: Callable[[str], str]) -> str:
    """Return the URL, whose query values are dropped already, without personal data, however it is read.

    What is read of it (`contract.urls`) would not be masked again.
    """
    if "@" in url:
        url = _LOGIN.sub(r"\1//", url)
    for _ in range(_ROUNDS_MAX):
        masked = mask(url)
        if _is_odd(masked):
            masked = "".join(str(_masked(piece, mask)) for piece in pieces_of(masked))
        if masked == url:
            return url
        url = masked
    # Encoded so often that nobody can have meant it: what is left is the way to the page.
    return mask(pieces_of(url)[0].text)


def _is_odd(url: str) -> bool:
    """Say whether a piece may read otherwise than it is written."""
    return any(sign in url for sign in "%+\n\r\t?#;&")


def _is_dropped(piece: Piece, kept: frozenset[str]) -> bool:
    return bool(piece.value) and not (piece.name.startswith("utm_") or piece.name in _CLICK_IDS or piece.name in kept)


def _masked(piece: Piece, mask: Callable[[str], str]) -> Piece:
    read = read_value if piece.is_read else read_text
    value = piece.value and _rewritten(piece.value, read, mask)
    return piece._replace(text=_rewritten(piece.text, read, mask), value=value)


def _rewritten(raw: str, read: Callable[[str], str], mask: Callable[[str], str]) -> str:
    meant = read(raw)
    masked = mask(meant)
    return raw if masked == meant else _CUTS.sub(lambda sign: quote(sign.group()), masked)
