"""Personal data out of texts, before anything is written. Pure: values in, values out.

What is masked: resident and foreigner registration numbers, payment cards, Korean phone numbers, e-mail
addresses, accounts in the forms of the large banks, and what the firm's own patterns in the settings match; however
their digits are written (`fold`). In URLs every query value is dropped unless its name is on the allow-list. A text in
which something is masked is returned folded; every other text is returned as it is.

`contract/personal.json` is the table that this and the browser SDK are held to.
"""

from collections.abc import Callable, Iterable
from typing import Any, Final

import re2

from collector_server.fold import SIGNS, any_of, fold
from collector_server.mailboxes import mask_addresses
from collector_server.personal import mask_numbers
from collector_server.suspect import Suspicion
from collector_server.urls import masked_url, without_query_values

# Without one of these a text holds no number and no address.
_TELLING: Final = any_of((*SIGNS, *"0123456789@%"))
# Larger ones are no number of a person, and writing them out is work.
_DIGITS_MAX: Final = 1e20
# A mask may be longer than what it stands for by a character or two.
_CUTS_MAX: Final = 4


class Masker:
    """Masks by the built-in patterns and the firm's own."""

    def __init__(self, query_values_kept: Iterable[str] = (), account_patterns: Iterable[str] = ()) -> None:
        accounts = list(account_patterns)
        self._kept = frozenset(name.lower() for name in query_values_kept)
        self._accounts = [re2.compile(pattern) for pattern in accounts]
        self.suspicious = Suspicion(accounts).of
        """Says of a body whether anything in it might have to be masked or repaired: one linear pass."""

    def text(self, text: str) -> str:
        """Return the text with personal data replaced."""
        if not self._accounts and _TELLING.search(text) is None:
            return text
        plain = fold(text)
        masked = mask_addresses(plain) if "@" in plain else plain
        for pattern in self._accounts:
            masked = pattern.sub("[account]", masked)
        masked = mask_numbers(masked)
        return text if masked == plain else masked

    def without_query_values(self, url: str) -> str:
        """Return the URL with every query value dropped that is not on the allow-list."""
        return without_query_values(url, self._kept)

    def url(self, url: str) -> str:
        """Return the URL with personal data replaced, also what only shows once its pieces are decoded."""
        return masked_url(url, self.text)

    def cut(self, text: str, limit: int, mask: Callable[[str], str] | None = None) -> str:
        """Return a masked text cut to its column; what is left of a longer number may be another: masked again."""
        for _ in range(_CUTS_MAX):
            if len(text) <= limit:
                return text
            text = (mask or self.text)(text[:limit])
        return text[:limit]

    def value(self, value: Any) -> Any:
        """Mask a JSON value, keys and all."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return self._object(value)
        if isinstance(value, list):
            return [self.value(v) for v in value]
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < _DIGITS_MAX:
            digits = str(int(value))
            masked = self.text(digits)
            return value if masked == digits else masked
        return value

    def _object(self, value: dict[str, Any]) -> dict[str, Any]:
        """Mask keys and values; two keys under one mask stay two."""
        masked: dict[str, Any] = {}
        for key, item in value.items():
            name = plain = self.text(key)
            number = 1
            while name in masked or (name != key and name in value):
                number += 1
                name = f"{plain} {number}"
            masked[name] = self.value(item)
        return masked
