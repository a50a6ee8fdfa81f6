"""Query values out of URLs: a name says enough, a value may be anybody's.

Campaigns, click ids and the settings' harmless names keep theirs.
"""

import re
from typing import Final

from contract.click_ids import CLICK_ID_NAMES

_CLICK_IDS: Final = frozenset(name.lower() for name in CLICK_ID_NAMES)
_PAIR: Final = re.compile(r"([?&;#])([^=&;#?]*)=([^&;#]*)")


def without_query_values(url: str, kept: frozenset[str]) -> str:
    """Return the URL with every query value dropped whose lower-case name is neither known nor in `kept`."""
    if "?" not in url and "#" not in url and "=" not in url:
        return url
    return _PAIR.sub(lambda m: m.group() if _is_kept(m.group(2), kept) else f"{m.group(1)}{m.group(2)}=", url)


def _is_kept(name: str, kept: frozenset[str]) -> bool:
    name = name.lower()
    return name.startswith("utm_") or name in _CLICK_IDS or name in kept
