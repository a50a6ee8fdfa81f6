"""Records what visitors of an aiohttp server meet.

web.Application(middlewares=[middleware(sillok)])
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from aiohttp import web

from sillok_sdk.integrations.visit import Answer, Observer, Request

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sillok_sdk.events import Events

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


# By task, for one task has one request at a time; a request's own mapping warns of keys that are texts.
_places: WeakKeyDictionary[Any, dict[str, Any]] = WeakKeyDictionary()


def middleware(
    client: Events, more: Callable[[web.Request], Mapping[str, Any]] | None = None
) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """Return a middleware that records page views, by their route's name, and errors."""
    observer = Observer(lambda: client, more)

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        visit = observer.visit(request, lambda: _read(request), _places.setdefault(asyncio.current_task(), {}))
        with visit:
            try:
                response = await handler(request)
            except web.HTTPException as answer:
                told = answer
                visit.answered(lambda: Answer(told.status, told.content_type, _route(request)))
                raise
            visit.answered(lambda: Answer(response.status, response.content_type, _route(request)))
            return response

    return record


def _read(request: web.Request) -> Request:
    return Request(request.method, str(request.url), request.headers.get, request.remote)


def _route(request: web.Request) -> str | None:
    route = request.match_info.route
    return route.name or (route.resource.canonical if route.resource else None)
