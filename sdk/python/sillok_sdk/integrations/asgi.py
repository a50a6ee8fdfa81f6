"""Records what visitors of any ASGI application meet.

Of Starlette's and FastAPI's routes the names become the pages':

app.add_middleware(Middleware, client=sillok)          # Starlette, FastAPI
application = Middleware(application, sillok)           # others
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sillok_sdk.integrations.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, MutableMapping

    from sillok_sdk.client import Client

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Middleware:
    """Records page views and errors. `more` returns further fields of a request, such as its `session_id`."""

    def __init__(
        self, app: Application, client: Client, more: Callable[[Message], Mapping[str, Any]] | None = None
    ) -> None:
        self._app = app
        self._client = client
        self._more = more

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer as the application does."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = _texts(scope["headers"])
        query = scope.get("query_string", b"").decode("latin-1")
        visit = Visit(
            self._client,
            scope["method"],
            url=f"{scope.get('scheme', 'http')}://{headers.get('host', '')}{scope['path']}"
            + (f"?{query}" if query else ""),
            referrer=headers.get("referer"),
            ip=(scope.get("client") or (None,))[0],
            user_agent=headers.get("user-agent"),
            more=partial(self._more, scope) if self._more else None,
        )

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                visit.answered(message["status"], _texts(message.get("headers", ())).get("content-type"), _route(scope))
            await send(message)

        with visit:
            await self._app(scope, receive, sent)


def _texts(headers: Any) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def _route(scope: Message) -> str | None:
    """Return the route's name, which the router leaves in the scope."""
    found = getattr(scope.get("route"), "name", None) or getattr(scope.get("endpoint"), "__name__", None)
    return found if isinstance(found, str) else None
