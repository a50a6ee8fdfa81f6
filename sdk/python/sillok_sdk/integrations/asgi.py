"""Records what visitors of any ASGI application meet.

Of Starlette's and FastAPI's routes the names become the pages':

app.add_middleware(Middleware, client=sillok)          # Starlette, FastAPI
application = Middleware(application, sillok)           # others
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sillok_sdk.integrations.visit import Answer, Observer, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from sillok_sdk.events import Events

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Middleware:
    """Records page views and errors. `more` returns further fields of a request, such as its `session_id`."""

    def __init__(
        self, app: Application, client: Events, more: Callable[[Message], Mapping[str, Any]] | None = None
    ) -> None:
        self._app = app
        self._observer = Observer(lambda: client, more)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer as the application does."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        visit = self._observer.visit(scope, lambda: _read(scope), scope)

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.answered(lambda: _answer(scope, message))
            await send(message)

        with visit:
            await self._app(scope, receive, sent)


def _read(scope: Message) -> Request:
    headers = _texts(scope["headers"])
    query = scope.get("query_string", b"").decode("latin-1")
    url = f"{scope.get('scheme', 'http')}://{headers.get('host', '')}{scope['path']}" + (f"?{query}" if query else "")
    ip = (scope.get("client") or (None,))[0]
    return Request(scope["method"], url, lambda name: headers.get(name.lower()), ip)


def _answer(scope: Message, message: Message) -> Answer:
    return Answer(message["status"], _texts(message.get("headers", ())).get("content-type"), _route(scope))


def _texts(headers: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _route(scope: Message) -> str | None:
    """Return the route's name, which the router leaves in the scope."""
    found = getattr(scope.get("route"), "name", None) or getattr(scope.get("endpoint"), "__name__", None)
    return found if isinstance(found, str) else None
