"""Replays a web server's access log (combined format) through the SDK, as if each line were a page view now."""

import re
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

from msgspec import Struct

_LINE: Final = re.compile(
    # A line may have been cut short by the server's own limit: the last quote is optional.
    r'(?P<ip>\S+) \S+ \S+ \[(?P<time>[^\]]+)\] "(?P<method>\S+) (?P<target>.*?)(?: HTTP/[\d.]+)?" (?P<status>\d{3}) \S+'
    r'(?: "(?P<referrer>[^"]*)" "(?P<user_agent>.*?)"?)?$'
)


class Request(Struct, frozen=True):
    """One line of the log."""

    ip: str
    time_ms: int
    target: str
    status: int
    referrer: str | None
    user_agent: str | None


def read_requests(lines: Iterable[str]) -> Iterator[Request]:
    """Yield a request per line; raise ValueError with the number of a line that is none."""
    for number, line in enumerate(lines, 1):
        match = _LINE.match(line.rstrip("\n"))
        if match is None:
            raise ValueError(f"line {number} is not in the combined log format")
        when = datetime.strptime(match["time"], "%d/%b/%Y:%H:%M:%S %z")
        yield Request(
            ip=match["ip"],
            time_ms=int(when.timestamp() * 1000),
            target=match["target"],
            status=int(match["status"]),
            referrer=_present(match["referrer"]),
            user_agent=_present(match["user_agent"]),
        )


def page_views(requests: Iterable[Request], site: str, end_ms: int) -> Iterator[dict[str, Any]]:
    """Yield the SDK's keywords for each request, its time moved so that the last one happened at `end_ms`."""
    found = list(requests)
    shift_ms = end_ms - max((request.time_ms for request in found), default=end_ms)
    for request in found:
        visitor = {"ip": request.ip, "user_agent": request.user_agent}
        yield {
            "time": request.time_ms + shift_ms,
            "page_url": site + request.target,
            "referrer": request.referrer,
            "props": {"http_status": request.status},
            "context": {key: value for key, value in visitor.items() if value is not None},
        }


def _present(text: str | None) -> str | None:
    return None if text in (None, "", "-") else text
