"""Records what visitors of a Django site meet.

In its settings:

    SILLOK = Client("https://collect.example.com", "wk_…")
    MIDDLEWARE = ["sillok_sdk.integrations.django.Middleware", …]

`SILLOK_MORE`, where it is set, returns further fields of a request, such as its `session_id`.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings

from sillok_sdk.integrations.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


class Middleware:
    """Records page views, by their view's name, and errors."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._more = getattr(settings, "SILLOK_MORE", None)

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer as the view does."""
        visit = Visit(
            settings.SILLOK,
            request.method or "",
            url=request.build_absolute_uri(),
            referrer=request.headers.get("Referer"),
            ip=request.META.get("REMOTE_ADDR"),
            user_agent=request.headers.get("User-Agent"),
            more=partial(self._more, request) if self._more else None,
        )
        request.sillok_visit = visit
        with visit:
            response = self._get_response(request)
            match: Any = request.resolver_match
            visit.answered(response.status_code, response.get("Content-Type"), match.view_name if match else None)
            return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Record what a view raised, before Django makes a page of it."""
        request.sillok_visit.failed(exception)
