r"""Ids that stand for nothing, as they look in a JSON body: for the one pass over it (`suspect`).

The pattern is wider than `contract.nobody`, which decides: whatever is none there is found here, a property test says
so. It is exact for ids in ASCII. Beyond, a Hangul syllable or an ideograph makes an id somebody's, and other letters
may be a word written in another way, unless there is a digit.
"""

from typing import Final

from contract.event import IDENTIFIER_FIELDS
from contract.nobody import WORDS_OF_NOBODY

_BEYOND: Final = r"\x{80}-\x{10ffff}"
# What counts for nothing between the letters: \n is an escape, its n no letter.
_JUNK: Final = rf'(?:[^0-9A-Za-z"\\{_BEYOND}]|\\.)*'
_WORDS: Final = "|".join(_JUNK.join(f"[{c}{c.upper()}]" for c in word) for word in sorted(WORDS_OF_NOBODY))
_ODD: Final = r"[^\x00-\x7f\x{4e00}-\x{9fa5}\x{ac00}-\x{d7a3}]"
_ODD_OR_ASCII: Final = r'(?:[^1-9"\\\x{4e00}-\x{9fa5}\x{ac00}-\x{d7a3}]|\\.)*'
NOBODY: Final = (
    rf'"(?:{"|".join(sorted(IDENTIFIER_FIELDS))})"\s*:\s*"'
    rf'(?:(?:{_JUNK}0)*{_JUNK}|{_JUNK}(?:{_WORDS}){_JUNK}|{_ODD_OR_ASCII}{_ODD}{_ODD_OR_ASCII})"'
)
