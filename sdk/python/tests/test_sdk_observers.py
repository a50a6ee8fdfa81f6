"""What every framework's integration has to hold: whose doing is a page view, what a hook is given, and what it may not change."""

import logging

import pytest
from frameworks import PAGE, SERVED


@pytest.fixture(params=SERVED)
def served(request):
    if request.param != "wsgi":
        pytest.importorskip(request.param)
    if request.param == "starlette":
        pytest.importorskip("httpx")
    return SERVED[request.param]


def recorded(client, collector):
    """Return what has arrived: (type, code) of each event, and the events."""
    assert client.flush(30_000)
    events = collector.events()
    return [(event["event_type"], event.get("error_code")) for event in events], events


SEEN = {
    "a page": {},
    "a page after a search": {
        "Sec-Fetch-Dest": "document",
        "Sec-Fetch-Mode": "navigate",
        "Referer": "https://search.test/",
    },
    "a frame": {"Sec-Fetch-Dest": "iframe"},
    "a whole page that htmx goes to": {"HX-Request": "true", "HX-Boosted": "true", "Sec-Fetch-Dest": "empty"},
    "a whole page that Turbo goes to": {"X-Turbo-Request-Id": "1", "Sec-Fetch-Dest": "empty"},
    "an unknown purpose": {"Purpose": "research", "X-Moz": "yes"},
}
NOT_SEEN = {
    "fetched ahead": {"Sec-Purpose": "prefetch"},
    "rendered ahead": {"Sec-Purpose": "prefetch;prerender"},
    "by a proxy": {"Sec-Purpose": "prefetch;anonymous-client-ip", "Sec-Fetch-Dest": "document"},
    "by an older browser": {"Purpose": "prefetch"},
    "by Firefox": {"X-Moz": "prefetch"},
    "by Safari": {"X-Purpose": "preview"},
    "by a script ahead": {"X-Sec-Purpose": "prefetch", "X-Turbo-Request-Id": "1"},
    "in capitals": {"PURPOSE": "PREFETCH"},
    "a part of a page": {"HX-Request": "true"},
    "a frame of a page": {"Turbo-Frame": "orders", "X-Turbo-Request-Id": "1"},
    "what a script polls": {"X-Requested-With": "XMLHttpRequest"},
    "what fetch() asks for": {"Sec-Fetch-Dest": "empty", "Sec-Fetch-Mode": "cors"},
    "an image that is none": {"Sec-Fetch-Dest": "image"},
}


def test_a_page_view_is_what_a_person_went_to(served, collector, make_client):
    client = make_client()
    ask = served(client)
    for headers in SEEN.values():
        assert ask("/page", headers=headers) == (200, PAGE)
    assert recorded(client, collector)[0] == [("page_view", None)] * len(SEEN)
    for headers in NOT_SEEN.values():
        assert ask("/page", headers=headers) == (200, PAGE)
    assert ask("/json")[0] == 200
    for status in (301, 302, 204, 304):
        assert ask(f"/{status}")[0] == status
    for method in ("HEAD", "OPTIONS", "POST"):
        ask("/page", method=method)
    told = recorded(client, collector)[0][len(SEEN) :]
    assert "page_view" not in [kind for kind, _ in told]
    assert ask("/page") == (200, PAGE)
    assert recorded(client, collector)[0][-1] == ("page_view", None)


def test_a_hook_is_given_the_request(served, collector, make_client):
    client = make_client()

    def more(request):
        headers = request["headers"] if isinstance(request, dict) and "headers" in request else None
        if headers is not None:
            return {"session_id": dict(headers)[b"x-session"].decode()}
        if isinstance(request, dict):
            return {"session_id": request["HTTP_X_SESSION"]}
        return {"session_id": request.headers["X-Session"], "customer_id": 7}

    ask = served(client, more)
    for name in ("s-1", "s-2"):
        assert ask("/page", headers={"X-Session": name}) == (200, PAGE)
    assert [event["session_id"] for event in recorded(client, collector)[1]] == ["s-1", "s-2"]


def test_a_hook_that_fails_is_told_once_and_the_events_go(served, collector, make_client, caplog):
    caplog.set_level(logging.WARNING, "sillok_sdk")
    client = make_client()

    def more(_request):
        raise KeyError("900101-1234567")

    ask = served(client, more)
    for _ in range(3):
        assert ask("/page") == (200, PAGE)
    assert recorded(client, collector)[0] == [("page_view", None)] * 3
    told = [record.getMessage() for record in caplog.records if record.name == "sillok_sdk"]
    # aiohttp's site is built anew for each request here.
    assert set(told) == {"not_recorded: KeyError in more"}
    assert len(told) == (3 if served.__name__ == "aiohttp" else 1)


@pytest.mark.parametrize(
    "given", [None, {}, {"no_such_field": 1, "session_id": "s"}, {"session_id": object()}, {7: 7}, 7, "text", []]
)
def test_whatever_a_hook_returns_the_page_is_recorded(served, collector, make_client, given):
    client = make_client()
    assert served(client, lambda _request: given)("/page") == (200, PAGE)
    told, (event,) = recorded(client, collector)
    assert told == [("page_view", None)]
    assert event.get("session_id") == ("s" if isinstance(given, dict) and given.get("session_id") == "s" else None)


class Broken:
    """Every call into the SDK raises."""

    def __getattr__(self, name):
        raise RuntimeError(name)


class Failing:
    """Every method is there, and raises when it is called."""

    def context(self, **_):
        raise RuntimeError

    page_view = error = identify = context


class Late(Failing):
    """Its blocks raise when they are entered or left."""

    def context(self, **_):
        return self

    def __enter__(self):
        raise RuntimeError

    def __exit__(self, *_):
        raise RuntimeError


ASKED = [
    *(
        (path, "GET", {})
        for path in ("/page", "/json", "/302", "/204", "/404", "/missing", "/503", "/broken", "/page?a=%ff&b=1")
    ),
    *(("/page", method, {}) for method in ("HEAD", "POST", "OPTIONS")),
    *(("/page", "GET", {"Host": host}) for host in ("unlisted.test", "10.0.0.7:8000", "[::1]", "a_b.test", "x" * 300)),
    *(("/page", "GET", {"Referer": text, "User-Agent": text}) for text in ("\u00ff", "x" * 5_000, "")),
    ("/page", "GET", {"X-Forwarded-For": "nobody", "X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "\u00e9"}),
]


@pytest.mark.parametrize(
    "client", [Broken(), Failing(), Late(), "works"], ids=lambda c: c if isinstance(c, str) else type(c).__name__
)
def test_nothing_of_an_integration_changes_an_answer(served, make_client, client):
    """Health checks with a host of their own among them: whether it is allowed is not for an observer to say."""

    def more(_request):
        raise RuntimeError

    ask = served(make_client() if client == "works" else client, more)
    without = served(None)
    for path, method, headers in ASKED:
        assert ask(path, method, headers) == without(path, method, headers), (path, method, headers)


def test_an_exception_whose_text_raises_is_recorded_by_its_class(collector, make_client):
    from sillok_sdk.integrations.wsgi import Middleware

    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    def application(_environ, _start):
        raise Odd

    client = make_client()
    with pytest.raises(Odd):
        Middleware(application, client)({"REQUEST_METHOD": "GET"}, None)
    assert recorded(client, collector)[0] == [("error", "Odd")]


def test_a_middleware_that_is_there_twice_records_once(collector, make_client):
    from frameworks import wsgi

    from sillok_sdk.integrations.wsgi import Middleware

    client = make_client()
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/page"}

    def application(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        return []

    twice = Middleware(Middleware(application, client), client)
    for _ in range(2):
        twice(environ, lambda *_: None)
    assert wsgi(client)("/page")[0] == 200
    assert recorded(client, collector)[0] == [("page_view", None)] * 3
