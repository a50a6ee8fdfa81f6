"""The real frameworks, served and asked as they are in production; what a visitor did is what arrives."""

import asyncio
import logging
import subprocess
import sys

import pytest

from sillok_sdk.integrations import asgi, wsgi
from sillok_sdk.integrations import logging as records

AGENT = "Mozilla/5.0 (test)"
HEADERS = {"User-Agent": AGENT, "Referer": "http://localhost/before"}


def arrived(collector, client):
    """Return what arrived: type, route, code, the event's own, and of whom."""
    assert client.flush(60_000)
    told = []
    for request in collector.requests:
        context = request.body["context"]
        for event in request.events:
            assert (context["user_agent"], event["session_id"]) == (AGENT, "s-1")
            assert context["ip"] in ("127.0.0.1", "testclient")
            told.append(
                (event["event_type"], event.get("page_name") or event.get("error_code") or event.get("click_text"))
            )
            if event["event_type"] == "page_view":
                assert event["page_url"].partition("?")[0].endswith("/orders")
                assert event["referrer"] == HEADERS["Referer"]
    return told


def test_flask(collector, make_client):
    flask = pytest.importorskip("flask")
    from sillok_sdk.integrations.flask import record

    client = make_client()
    app = flask.Flask("shop")
    record(app, client, more=lambda _request: {"session_id": "s-1"})

    @app.get("/orders")
    def orders():
        client.click(click_text="매수")
        return "<p>주문</p>"

    @app.get("/json")
    def prices():
        return {"price": 1}

    @app.get("/broken")
    def broken():
        raise LookupError("no such order")

    visitor = app.test_client()
    statuses = [
        visitor.get(path, headers=HEADERS).status_code for path in ("/orders?a=1", "/json", "/missing", "/broken")
    ]
    assert statuses == [200, 200, 404, 500]
    assert arrived(collector, client) == [
        ("click", "매수"),
        ("page_view", "orders"),
        ("error", "HTTP_404"),
        ("error", "LookupError"),
    ]


def test_django(collector):
    """In a process of its own: its settings are a process's."""
    pytest.importorskip("django")
    script = """
import sys, django
from django.conf import settings
from sillok_sdk import Client
client = Client(sys.argv[1], "k", flush_interval_ms=20)
settings.configure(ALLOWED_HOSTS=["*"], ROOT_URLCONF="__main__", SILLOK=client, SECRET_KEY="x", DEFAULT_CHARSET="utf-8",
    SILLOK_MORE=lambda request: {"session_id": "s-1"}, MIDDLEWARE=["sillok_sdk.integrations.django.Middleware"])
django.setup()
from django.http import HttpResponse, JsonResponse
from django.urls import path
def orders(request):
    client.click(click_text="매수")
    return HttpResponse("<p>주문</p>")
def broken(request):
    raise LookupError("no such order")
urlpatterns = [path("orders", orders, name="orders"), path("json", lambda r: JsonResponse({})), path("broken", broken)]
from django.test import Client as Visitor
visitor = Visitor(raise_request_exception=False, headers={"User-Agent": sys.argv[2], "Referer": sys.argv[3]})
print([visitor.get(at).status_code for at in ("/orders?a=1", "/json", "/missing", "/broken")])
client.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script, collector.url, AGENT, HEADERS["Referer"]],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout == "[200, 200, 404, 500]\n"

    class Settled:
        def flush(self, _ms):
            return True

    collector.requests = [request for request in collector.requests if request.events]
    assert arrived(collector, Settled()) == [
        ("click", "매수"),
        ("page_view", "orders"),
        ("error", "HTTP_404"),
        ("error", "LookupError"),
    ]


def test_starlette(collector, make_client):
    pytest.importorskip("starlette")
    pytest.importorskip("httpx")
    import warnings

    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, JSONResponse
    from starlette.routing import Route

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient

    client = make_client()

    async def orders(_request):
        await asyncio.sleep(0)
        client.click(click_text="매수")
        return HTMLResponse("<p>주문</p>")

    async def prices(_request):
        return JSONResponse({})

    async def broken(_request):
        raise LookupError("no such order")

    routes = [Route("/orders", orders, name="orders"), Route("/json", prices), Route("/broken", broken)]
    app = Starlette(routes=routes)
    app.add_middleware(asgi.Middleware, client=client, more=lambda _scope: {"session_id": "s-1"})
    with TestClient(app, raise_server_exceptions=False) as visitor:
        statuses = [
            visitor.get(path, headers=HEADERS).status_code for path in ("/orders?a=1", "/json", "/missing", "/broken")
        ]
    assert statuses == [200, 200, 404, 500]
    assert arrived(collector, client) == [
        ("click", "매수"),
        ("page_view", "orders"),
        ("error", "HTTP_404"),
        ("error", "LookupError"),
    ]


async def test_aiohttp(collector, make_client):
    web = pytest.importorskip("aiohttp.web")
    from aiohttp.test_utils import TestClient, TestServer

    from sillok_sdk.integrations.aiohttp import middleware

    client = make_client()

    async def orders(_request):
        await asyncio.sleep(0)
        client.click(click_text="매수")
        return web.Response(text="<p>주문</p>", content_type="text/html")

    async def broken(_request):
        raise LookupError("no such order")

    app = web.Application(middlewares=[middleware(client, more=lambda _request: {"session_id": "s-1"})])
    app.router.add_get("/orders", orders, name="orders")
    app.router.add_get("/broken", broken)
    async with TestClient(TestServer(app)) as visitor:
        logging.getLogger("aiohttp.server").disabled = True
        statuses = [
            (await visitor.get(path, headers=HEADERS)).status for path in ("/orders?a=1", "/missing", "/broken")
        ]
        logging.getLogger("aiohttp.server").disabled = False
    assert statuses == [200, 404, 500]
    assert arrived(collector, client) == [
        ("click", "매수"),
        ("page_view", "orders"),
        ("error", "HTTP_404"),
        ("error", "LookupError"),
    ]


def test_wsgi(collector, make_client):
    from wsgiref.util import setup_testing_defaults

    client = make_client()

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/broken":
            raise LookupError("no such order")
        client.click(click_text="매수")
        start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
        return [b"<p>"]

    served = wsgi.Middleware(application, client, more=lambda _environ: {"session_id": "s-1"})
    answers = []
    for path in ("/orders", "/broken"):
        environ = {
            "PATH_INFO": path,
            "QUERY_STRING": "a=1",
            "REMOTE_ADDR": "127.0.0.1",
            "HTTP_USER_AGENT": AGENT,
            "HTTP_REFERER": HEADERS["Referer"],
        }
        setup_testing_defaults(environ)
        try:
            answers.append(served(environ, lambda status, _headers: answers.append(status)))
        except LookupError:
            answers.append("raised")
    assert answers == ["200 OK", [b"<p>"], "raised"]
    assert arrived(collector, client) == [("click", "매수"), ("page_view", None), ("error", "LookupError")]


def test_what_goes_wrong_in_the_sdk_does_not_reach_the_request(make_client):
    def application(_environ, start_response):
        start_response("200 OK", [("Content-Type", "text/html")])
        return [b"fine"]

    client = make_client()
    served = wsgi.Middleware(application, client, more=lambda _environ: {"no_such_field": object()})
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/\udcff", "HTTP_REFERER": 7}
    assert served(environ, lambda *_: None) == [b"fine"]

    def broken(_environ):
        raise LookupError

    assert wsgi.Middleware(application, client, more=broken)(environ, lambda *_: None) == [b"fine"]


def test_error_records_are_events(collector, make_client):
    client = make_client()
    logger = logging.getLogger("shop.orders")
    logger.addHandler(records.Handler(client))
    logger.warning("not this one")
    logger.error("order %s was refused", "7")
    try:
        raise LookupError("gone")
    except LookupError:
        logger.exception("no order")
    own = logging.getLogger("sillok_sdk.sender")
    own.addHandler(records.Handler(client))
    own.error("about itself")
    assert client.flush(60_000)
    assert [(e["error_code"], e["error_message"]) for e in collector.events()] == [
        ("shop.orders", "order 7 was refused"),
        ("LookupError", "no order"),
    ]


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "sillok_sdk", "send", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_event_from_a_shell(collector, free_port):
    there = ("--url", collector.url, "--key", "k")
    done = run(*there, "--type", "step", "step_position=3", "flow_name=account_opening", 'props={"a":1}', "os_name=iOS")
    assert (done.returncode, done.stderr) == (0, "")
    (event,) = collector.events()
    assert done.stdout == f"{event['event_id']} acknowledged\n"
    assert (event["step_position"], event["flow_name"], event["props"]) == (3, "account_opening", {"a": 1})
    assert collector.requests[0].body["context"]["os_name"] == "iOS"

    mistaken = run(*there, "--type", "click", "click_txt=x")
    assert (mistaken.returncode, mistaken.stderr) == (
        2,
        "click has no field 'click_txt': did you mean 'click_text'?\n",
    )
    unanswered = run("--url", f"http://127.0.0.1:{free_port}", "--key", "k", "--type", "click", "--timeout", "0.5")
    assert unanswered.returncode == 1
    assert "no answer that acknowledges it within 0.5 s" in unanswered.stderr
