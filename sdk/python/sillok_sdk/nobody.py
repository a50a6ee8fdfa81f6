"""Ids that stand for nothing: what programs write when they have no id, and send as if it were one.

The collector's rule, word for word, held to its table by a test: every visitor who is called `undefined` would be one
visitor. Such an id counts as absent.
"""

from __future__ import annotations

# What is printed for "no value" by JavaScript, Python, Ruby, Go, Swift, databases and analytics; and what sites call a
# visitor they do not know.
WORDS_OF_NOBODY = frozenset(
    {"null", "undefined", "none", "nil", "nan", "na", "objectobject", "objectnull", "objectundefined", "unknown"}
    | {"guest", "anonymous", "anonymoususer", "notset", "empty", "objectpromise", "false", "true"}
)
LENGTH_OF_NOBODY_MAX = 40
_REMEMBERED = 4_096

somebody: set[str | None] = {None}
"""Ids that were looked at and stand for somebody, the last few thousand, and no id at all: a look into this costs a
hundredth of the rule."""


def is_nobody(value: str) -> bool:
    """Return whether an id is none, and remember it when it is one."""
    if stands_for_nobody(value):
        return True
    if len(somebody) >= _REMEMBERED:
        somebody.clear()
        somebody.add(None)
    somebody.add(value)
    return False


def stands_for_nobody(value: str) -> bool:
    """Return whether an id is none."""
    if len(value) > LENGTH_OF_NOBODY_MAX:
        return not value.strip()
    import unicodedata  # noqa: PLC0415  importing the package stays cheap

    plain = "".join(c for c in unicodedata.normalize("NFKC", value).lower() if c.isalnum())
    return not plain.strip("0") or plain in WORDS_OF_NOBODY
