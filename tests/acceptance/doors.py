"""Every door of the collector that personal data can come through, and what is answered there.

A new door is one more line in `DOORS`.
"""

import gzip
import time
import uuid
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from tests.acceptance.canaries import Canary, dumped, sent_as_text

PATH: Final = "/v1/events"
PIXEL: Final = "/v1/pixel.gif"


class Request(NamedTuple):
    """What is sent."""

    body: bytes
    headers: Mapping[str, str] = MappingProxyType({})
    path: str = PATH
    key: str = "page"
    method: str = "POST"


def event(**fields: Any) -> dict[str, Any]:
    return {"event_id": str(uuid.uuid4()), "time": time.time_ns() // 1_000_000, "event_type": "click", **fields}


def batch(*events: Any, **more: Any) -> bytes:
    return dumped({"events": list(events), **more})


def in_event(make: Callable[[Canary], dict[str, Any]]) -> Callable[[Canary], Request]:
    return lambda canary: Request(batch(event(**make(canary))))


def in_field(name: str, around: str = "%s") -> Callable[[Canary], Request]:
    return in_event(lambda canary: {name: around.replace("%s", canary.text)})


def in_context(make: Callable[[Canary], dict[str, Any]], key: str = "page") -> Callable[[Canary], Request]:
    return lambda canary: Request(batch(event(), context=make(canary)), key=key)


def in_header(name: str, around: str = "%s") -> Callable[[Canary], Request]:
    def request(canary: Canary) -> Request:
        # Anything may stand in a header; http.client wants bytes for it.
        value = around.replace("%s", sent_as_text(canary.text))
        return Request(batch(event()), {name: value})

    return request


def _in_target(canary: Canary) -> str:
    """Return it as a request's target may hold it."""
    return "".join(
        c if "!" <= c <= "~" else "".join(f"%{b:02X}" for b in c.encode()) for c in sent_as_text(canary.text)
    )


def in_pixel(make: Callable[[Canary, str], dict[str, str]]) -> Callable[[Canary], Request]:
    """Go through a pixel's query, whose names and values may be any text; `make` is given the canary and its text."""
    return lambda canary: _pixel(make(canary, sent_as_text(canary.text)))


def _pixel(query: dict[str, str], **headers: str) -> Request:
    query = {"event_type": "click", **query}
    key = query.pop("key", "page")
    target = f"{PIXEL}?key={quote(key, safe='')}&{urlencode(query)}"
    return Request(b"", {name.replace("_", "-"): value for name, value in headers.items()}, target, "", "GET")


def in_pixel_header(name: str, around: str) -> Callable[[Canary], Request]:
    return lambda canary: _pixel({}, **{name: around.replace("%s", sent_as_text(canary.text))})


def in_pixel_target(query: str) -> Callable[[Canary], Request]:
    """Go through a pixel's query as it stands, not encoded by whoever wrote the page."""
    target = f"{PIXEL}?key=page&{query}"
    return lambda canary: Request(b"", path=target.replace("%s", _in_target(canary)), key="", method="GET")


def not_utf8(canary: Canary) -> Request:
    return Request(batch(event(page_name="~", click_text=canary.text)).replace(b'"~"', b'"\xb8\xc5"'))


def too_deep(canary: Canary) -> Request:
    value: Any = canary.text
    for _ in range(40):
        value = [value]
    return Request(batch(event(props={"a": value})))


def beside(**more: Callable[[Canary], Any]) -> Callable[[Canary], Request]:
    return lambda canary: Request(batch(event(), **{name: make(canary) for name, make in more.items()}))


def as_body(make: Callable[[Canary], bytes], **headers: str) -> Callable[[Canary], Request]:
    return lambda canary: Request(make(canary), {name.replace("_", "-"): value for name, value in headers.items()})


def text(canary: Canary) -> bytes:
    return sent_as_text(canary.text).encode()


# Every door: how a canary goes through it, and what is answered: how many events are accepted and rejected, or a status.
MASKED: Final = (1, 0)
REJECTED: Final = (0, 1)
DOORS: Final[dict[str, tuple[Callable[[Canary], Request], tuple[int, int] | int]]] = {
    "a text": (in_field("click_text"), MASKED),
    "a text, in a sentence": (in_field("page_name", "홍길동(%s)님의 화면"), MASKED),
    "an error's message": (in_field("error_message", "입력값 오류: %s"), MASKED),
    "a search": (in_field("search_text"), MASKED),
    "a campaign": (in_field("utm_content"), MASKED),
    "an instance's id": (in_field("client_id"), MASKED),
    "a URL's path": (in_field("page_url", "https://m.example.com/고객/%s/화면"), MASKED),
    "a URL's query": (in_field("referrer", "https://m.example.com/?q=%s&page=1"), MASKED),
    "a URL's query that stays": (in_field("error_page", "https://m.example.com/?utm_content=%s#a"), MASKED),
    "a URL's fragment": (in_field("page_url", "https://m.example.com/#%s"), MASKED),
    "props": (in_event(lambda c: {"props": {"가": c.text}}), MASKED),
    "a number in props": (in_event(lambda c: {"props": {"가": c.number}}), MASKED),
    "a key of props": (in_event(lambda c: {"props": {c.text: 1}}), MASKED),
    "deep in props": (in_event(lambda c: {"props": {"가": [{"나": [c.number, {c.text: c.text}]}]}}), MASKED),
    "an unknown key's value": (in_event(lambda c: {"whatever": c.number}), MASKED),
    "an unknown key": (in_event(lambda c: {c.text: True}), MASKED),
    "a context": (in_context(lambda c: {"page_name": c.text, "whatever": c.number}), MASKED),
    "a context's props": (in_context(lambda c: {"props": {c.text: c.number}}), MASKED),
    "a relayed user agent": (in_context(lambda c: {"user_agent": f"App/1 {c.text}"}, key="relay"), MASKED),
    "a relayed address": (in_context(lambda c: {"ip": c.text}, key="relay"), MASKED),
    "sent_at": (beside(sent_at=lambda c: c.text), MASKED),
    "an unknown key beside the events": (beside(whatever=lambda c: [c.text, {c.text: c.number}]), MASKED),
    "a report's id": (beside(clients=lambda c: [{"id": c.text, "created": 1}]), MASKED),
    "a report's reason": (beside(clients=lambda c: [{"id": "가", "dropped": {c.text: 1}}]), MASKED),
    "the User-Agent header": (in_header("User-Agent", "App/1 (%s)"), MASKED),
    "any other header": (in_header("X-Forwarded-For"), MASKED),
    "a rejected event's time": (in_event(lambda c: {"time": c.text}), REJECTED),
    "a rejected event's neighbours": (in_event(lambda c: {"time": "x", "props": {c.text: c.number}}), REJECTED),
    "a rejected event's URL": (
        in_event(lambda c: {"time": "x", "page_url": f"https://m.example.com/{c.text}?q={c.text}"}), REJECTED,
    ),
    "a rejected event's ids": (in_event(lambda c: {"time": "x", "session_id": c.text, "customer_id": c.text}), REJECTED),
    "an event's id": (in_event(lambda c: {"event_id": c.text}), REJECTED),
    "an event's type": (in_event(lambda c: {"event_type": c.text}), REJECTED),
    "a platform": (in_event(lambda c: {"platform": c.text}), REJECTED),
    "seq": (in_event(lambda c: {"seq": c.text}), REJECTED),
    "props that are none": (in_event(lambda c: {"props": c.text}), REJECTED),
    "an event that is none": (lambda c: Request(batch(c.number)), REJECTED),
    "an event that is not UTF-8": (not_utf8, REJECTED),
    "an event too deep": (too_deep, REJECTED),
    "an event too large": (in_event(lambda c: {"props": {c.text: "가" * 20_000}}), REJECTED),
    "props too large": (in_event(lambda c: {"props": {c.text: "가" * 5_000}}), REJECTED),
    "a custom event without a name": (in_event(lambda c: {"event_type": "custom", "click_text": c.text}), REJECTED),
    "a context that is refused": (in_context(lambda c: {"page_name": c.text, "screen_width": c.text}), REJECTED),
    "a body that is no JSON": (as_body(text), 400),
    "a body that is cut short": (as_body(lambda c: batch(event(click_text=c.text))[:-3]), 400),
    "a body without events": (as_body(lambda c: dumped({c.text: c.number, "events": c.text})), 400),
    "a body that is no gzip": (as_body(text, Content_Encoding="gzip"), 400),
    "a body that is gzip cut short": (
        as_body(lambda c: gzip.compress(batch(event(click_text=c.text)))[:-3], Content_Encoding="gzip"), 400,
    ),
    "an unknown encoding": (as_body(text, Content_Encoding="9001011234567"), 415),
    "a key": (lambda c: Request(batch(event()), key=sent_as_text(c.text)), 401),
    "an origin": (in_header("Origin", "https://%s.example.com"), 403),
    "a path": (lambda c: Request(b"", path="/" + _in_target(c)), 404),
    "a key in the query": (lambda c: Request(b"", path=f"{PATH}?key={_in_target(c)}", key=""), 401),
    "a key part by part": (
        lambda c: Request(batch(event()), {"Authorization": f"Bearer page {sent_as_text(c.text)}"}), 401,
    ),
    "an unknown path's query": (lambda c: Request(b"", path=f"/v2/else?q={_in_target(c)}", method="GET"), 404),
    "a known path's query": (lambda c: Request(batch(event()), path=f"{PATH}?q={_in_target(c)}"), MASKED),
    "a path below the known one": (lambda c: Request(batch(event()), path=f"{PATH}/{_in_target(c)}"), 404),
    "the host of a target": (lambda c: Request(b"", path=f"//{_in_target(c)}/x"), 404),
    "the query of another method": (lambda c: Request(b"", path=f"{PATH}?{_in_target(c)}=1", method="PUT"), 405),
    "a method": (lambda c: Request(b"", method=_in_target(c)), 400),
    "a header's name": (lambda c: Request(batch(event()), {f"X-{_in_target(c).replace('@', '.')}": "1"}), MASKED),
    "a pixel's text": (in_pixel(lambda _, text: {"click_text": text}), MASKED),
    "a pixel's text, in a sentence": (in_pixel(lambda _, text: {"error_message": f"홍길동({text})님 + 1"}), MASKED),
    "a pixel's text, as it stands": (in_pixel_target("event_type=click&page_name=%s"), MASKED),
    "a pixel's campaign": (in_pixel(lambda _, text: {"utm_term": text}), MASKED),
    "a pixel's instance": (in_pixel(lambda _, text: {"client_id": text}), MASKED),
    "a pixel's page": (
        in_pixel(lambda _, text: {"page_url": f"https://m.example.com/{text}?q={text}&utm_term={text}#{text}"}), MASKED,
    ),
    "a pixel's page, as it stands": (
        in_pixel_target("event_type=click&page_url=https://m.example.com/%s?q=%s"), MASKED,
    ),
    "a pixel's page by its Referer": (
        in_pixel_header("Referer", "https://m.example.com/%s?q=%s&utm_source=%s#%s"), MASKED,
    ),
    "a pixel's User-Agent": (in_pixel_header("User_Agent", "App/1 (%s)"), MASKED),
    "a pixel's unknown value": (in_pixel(lambda _, text: {"whatever": text}), MASKED),
    "a pixel's unknown name": (in_pixel(lambda _, text: {text: "1"}), MASKED),
    "a pixel's unknown name, as it stands": (in_pixel_target("event_type=click&%s=1&%s"), MASKED),
    "a part of a pixel's name": (in_pixel(lambda _, text: {f"고객 {text} 님": text}), MASKED),
    "a pixel's property": (in_pixel(lambda _, text: {"props.고객": text, f"props.{text}": "1"}), MASKED),
    "a pixel's props": (in_pixel(lambda _, text: {"props": text}), REJECTED),
    "a pixel's id and time": (in_pixel(lambda _, text: {"event_id": text, "time": text}), MASKED),
    "a pixel's seq": (in_pixel(lambda _, text: {"seq": text + "."}), REJECTED),
    "a pixel's type": (in_pixel(lambda _, text: {"event_type": text}), REJECTED),
    "a pixel's platform": (in_pixel(lambda _, text: {"platform": text}), REJECTED),
    "a pixel's boolean": (in_pixel(lambda _, text: {"checkbox_checked": text}), REJECTED),
    "a rejected pixel's neighbours": (in_pixel(lambda _, text: {"seq": "x", text: text, "page_name": text}), REJECTED),
    "a rejected pixel's page": (
        in_pixel(lambda _, text: {"seq": "x", "page_url": f"https://m.example.com/{text}?q={text}"}), REJECTED,
    ),
    "a pixel's key": (in_pixel(lambda _, text: {"key": text}), 401),
    "a part of a pixel's key": (in_pixel(lambda _, text: {"key": f"page{text}"}), 401),
    "a pixel's origin": (in_pixel_header("Origin", "https://%s.example.com"), 403),
    "a pixel by another method": (
        lambda c: Request(b"", path=f"{PIXEL}?key=page&click_text={_in_target(c)}", method="POST"), 405,
    ),
}  # fmt: skip
