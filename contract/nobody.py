"""Ids that stand for nothing: what programs write when they have no id, and send as if it were one.

Every device that says `undefined` would be one visitor, and a customer called `null` would own them all. In
`session_id`, `anonymous_id` and `customer_id` such a value counts as absent, in the SDKs and at the door.
`contract/nobody.json` is the table that every implementation is held to.

A value stands for nothing when what is left of it, in lower case, without what is neither letter nor digit, is
empty, zeros alone (the zero UUID, `0`, `-0`, `0.0`), or one of these words.
"""

import re
import unicodedata
from typing import Final

# What is printed for "no value" by: JavaScript (undefined, null, NaN, [object Object]), Python (None), Ruby, Go, Swift
# and Objective-C (nil, `<nil>`, (null)), databases and spreadsheets (n/a), Google Analytics ((not set)); `user &&
# user.id` of nobody (false); and what sites and frameworks (Spring, Django) call a visitor they do not know.
WORDS_OF_NOBODY: Final = frozenset(
    {"null", "undefined", "none", "nil", "nan", "na", "objectobject", "objectnull", "objectundefined", "unknown"}
    | {"guest", "anonymous", "anonymoususer", "notset", "empty", "objectpromise", "false", "true"}
)
# Longer values are looked at no further: no such word is, and zeros that fill a UUID are shorter.
LENGTH_OF_NOBODY_MAX: Final = 40
# No such word has one, and most ids do: they are looked at no further.
_OF_SOMEBODY: Final = re.compile(r"[1-9]")


def stands_for_nobody(value: str) -> bool:
    """Return whether an id is none."""
    if _OF_SOMEBODY.search(value):
        return False
    if len(value) > LENGTH_OF_NOBODY_MAX:
        return not value.strip()
    plain = "".join(c for c in unicodedata.normalize("NFKC", value).lower() if c.isalnum())
    return not plain.strip("0") or plain in WORDS_OF_NOBODY
