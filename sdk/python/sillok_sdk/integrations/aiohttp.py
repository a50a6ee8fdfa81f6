"""Records what visitors of an aiohttp server meet.

web.Application(middlewares=[middleware(sillok)])
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sillok_sdk.integrations.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from sillok_sdk.client import Client

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def middleware(
    client: Client, more: Callable[[web.Request], Mapping[str, Any]] | None = None
) -> Callable[[web.Request, Handler], Awaitable[web.StreamResponse]]:
    """Return a middleware that records page views, by their route's name, and errors."""

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        visit = Visit(
            client,
            request.method,
            url=str(request.url),
            referrer=request.headers.get("Referer"),
            ip=request.remote,
            user_agent=request.headers.get("User-Agent"),
            more=partial(more, request) if more else None,
        )
        route = request.match_info.route
        name = route.name or (route.resource.canonical if route.resource else None)
        with visit:
            try:
                response = await handler(request)
            except web.HTTPException as answer:
                visit.answered(answer.status, answer.content_type, name)
                raise
            visit.answered(response.status, response.content_type, name)
            return response

    return record
