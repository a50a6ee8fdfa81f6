"""Refused requests, counted by the address they came from. Good ones are never counted and never held up.

Carrier networks put thousands of phones behind one address, so an address can be no reason to refuse what
would else be taken. Whatever is bad over the limit is answered 429, which tells an honest client to wait
instead of splitting and trying again at once.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from collector_server.client_address import is_loopback, network_of
from collector_server.refusal import Refusal, Refused

_WINDOW_S: Final = 60.0
_ADDRESSES_MAX: Final = 10_000
_COUNTED: Final = frozenset({400, 401, 403, 404, 405, 413, 415})


class BadRequests:
    """The refused requests of the last minute, by address; the addresses heard of last are remembered."""

    def __init__(self, per_minute_max: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max = per_minute_max
        self._clock = clock
        self._windows: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._windows)

    def judge(self, refused: Refused, address: str | None) -> Refused:
        """Count a refusal and return it, or a 429 in its place when the address is over its limit.

        This machine's own addresses are not counted: they are probes, or a proxy that is not among the trusted ones.
        """
        if refused.refusal.status not in _COUNTED or address is None or is_loopback(address):
            return refused
        network = network_of(address)
        now = self._clock()
        began, count = self._windows.get(network, (now, 0))
        if now - began >= _WINDOW_S:
            began, count = now, 0
        self._windows[network] = (began, count + 1)
        self._windows.move_to_end(network)
        if len(self._windows) > _ADDRESSES_MAX:
            self._windows.popitem(last=False)
        if count < self._max:
            return refused
        return Refused(
            Refusal.TOO_MANY_REFUSED,
            f"too many refused requests from this address, the last one for {refused.refusal.code}",
            retry_after_s=began + _WINDOW_S - now,
        )
