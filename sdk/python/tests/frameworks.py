"""One site in every framework that the SDK knows: `served[name](client, more)` returns a way to ask it.

`ask(path, method, headers)` returns (status, text). `client=None` leaves the SDK out. Paths: `/page` is HTML, `/json` is not,
`/broken` raises, and `/302` answers with that status and a page.
"""

import asyncio
import logging
import types
import warnings

PAGE = "<p>주문</p>"
HTML = "text/html; charset=utf-8"


def flask(client, more=None):
    from flask import Flask, Response

    from sillok_sdk.integrations.flask import record

    app = Flask("shop")
    app.logger.disabled = True
    if client is not None:
        record(app, client, more)
    app.add_url_rule("/page", "page", lambda: PAGE)
    app.add_url_rule("/json", "json", dict)
    app.add_url_rule("/<int:status>", "status", lambda status: Response(PAGE, status, mimetype="text/html"))
    app.add_url_rule("/broken", "broken", broken)
    app.config["PROPAGATE_EXCEPTIONS"] = False

    def ask(path, method="GET", headers=()):
        answer = app.test_client().open(path, method=method, headers=dict(headers))
        return answer.status_code, answer.text

    return ask


def django(client, more=None):
    import django as framework
    from django.conf import settings
    from django.http import HttpResponse, JsonResponse
    from django.test import Client as Visitor
    from django.test import override_settings
    from django.urls import path

    if not settings.configured:
        settings.configure(SECRET_KEY="x", ALLOWED_HOSTS=["testserver"], LOGGING_CONFIG=None)
        framework.setup()
        for name in ("django.request", "django.security"):
            logging.getLogger(name).propagate = False
    urls = types.ModuleType("urls")
    urls.urlpatterns = [
        path("page", lambda _: HttpResponse(PAGE), name="page"),
        path("json", lambda _: JsonResponse({})),
        path("<int:status>", lambda _, status: HttpResponse(PAGE, status=status), name="status"),
        path("broken", broken),
    ]
    own = {"ROOT_URLCONF": urls, "MIDDLEWARE": []}
    if client is not None:
        own.update(MIDDLEWARE=["sillok_sdk.integrations.django.Middleware"], SILLOK=client, SILLOK_MORE=more)
    with override_settings(**own):
        visitor = Visitor(raise_request_exception=False)
        visitor.get("/json")  # which makes the middleware, under these settings

    def ask(path, method="GET", headers=()):
        named = {"HTTP_" + name.upper().replace("-", "_"): value for name, value in dict(headers).items()}
        with override_settings(**own):
            answer = visitor.generic(method, path, **named)
        return answer.status_code, answer.content.decode()

    return ask


def starlette(client, more=None):
    from starlette.applications import Starlette
    from starlette.responses import HTMLResponse, JSONResponse
    from starlette.routing import Route

    from sillok_sdk.integrations import asgi

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from starlette.testclient import TestClient

    methods = ["GET", "POST", "OPTIONS", "HEAD"]
    app = Starlette(
        routes=[
            Route("/page", lambda _: HTMLResponse(PAGE), methods=methods),
            Route("/json", lambda _: JSONResponse({})),
            Route("/broken", broken),
            Route("/{status:int}", lambda request: HTMLResponse(PAGE, request.path_params["status"])),
        ]
    )
    if client is not None:
        app.add_middleware(asgi.Middleware, client=client, more=more)

    def ask(path, method="GET", headers=()):
        visitor = TestClient(app, raise_server_exceptions=False, follow_redirects=False)
        encoded = {name: value.encode("latin-1") for name, value in dict(headers).items()}
        answer = visitor.request(method, path, headers=encoded)
        return answer.status_code, answer.text

    return ask


def aiohttp(client, more=None):
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    from sillok_sdk.integrations.aiohttp import middleware

    async def page(request):
        status = int(request.match_info.get("status", 200))
        if 300 <= status < 400 and status != 304:
            raise web.HTTPFound("/page") if status == 302 else web.HTTPMovedPermanently("/page")
        return web.Response(text=PAGE, status=status, content_type="text/html")

    async def prices(_request):
        return web.json_response({})

    async def failing(request):
        broken(request)

    async def once(path, method, headers):
        app = web.Application(middlewares=[] if client is None else [middleware(client, more)])
        app.router.add_route("*", "/page", page, name="page")
        app.router.add_get("/json", prices)
        app.router.add_get("/broken", failing)
        app.router.add_get(r"/{status:\d+}", page)
        async with TestClient(TestServer(app)) as visitor:
            answer = await visitor.request(method, path, headers=dict(headers), allow_redirects=False)
            return answer.status, await answer.text()

    def ask(path, method="GET", headers=()):
        logging.getLogger("aiohttp.server").disabled = True
        try:
            return asyncio.run(once(path, method, headers))
        finally:
            logging.getLogger("aiohttp.server").disabled = False

    return ask


def wsgi(client, more=None):
    from wsgiref.util import setup_testing_defaults

    from sillok_sdk.integrations.wsgi import Middleware

    def application(environ, start_response):
        path = environ["PATH_INFO"].strip("/")
        if path == "broken":
            broken()
        status = path if path.isdigit() else "200"
        kind = "application/json" if path == "json" else HTML
        start_response(f"{status} Told", [("Content-Type", kind)])
        return [(PAGE if kind == HTML else "{}").encode()]

    served = application if client is None else Middleware(application, client, more)

    def ask(path, method="GET", headers=()):
        environ = {"PATH_INFO": path, "REQUEST_METHOD": method, "REMOTE_ADDR": "127.0.0.1"}
        environ |= {"HTTP_" + name.upper().replace("-", "_"): value for name, value in dict(headers).items()}
        setup_testing_defaults(environ)
        told = []
        try:
            text = b"".join(served(environ, lambda status, _headers: told.append(int(status[:3]))))
        except LookupError:
            return 500, "raised"
        return told[0], text.decode()

    return ask


def broken(*_):
    raise LookupError("no such order")


SERVED = {made.__name__: made for made in (flask, django, starlette, aiohttp, wsgi)}
