"""Records what visitors of a Django site meet.

In its settings:

    SILLOK = Client("https://collect.example.com", "wk_…")
    MIDDLEWARE = ["sillok_sdk.integrations.django.Middleware", …]

`SILLOK_MORE`, where it is set, returns further fields of a request, such as its `session_id`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings

from sillok_sdk.integrations.visit import Answer, Observer, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse


class Middleware:
    """Records page views, by their view's name, and errors."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._observer = Observer(lambda: settings.SILLOK, getattr(settings, "SILLOK_MORE", None))

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer as the view does."""
        visit = self._observer.visit(request, lambda: _read(request), request.META)
        request.sillok_visit = visit
        with visit:
            response = self._get_response(request)
            visit.answered(lambda: _answer(request, response))
            return response

    def process_exception(self, request: HttpRequest, exception: Exception) -> None:
        """Record what a view raised, before Django makes a page of it."""
        request.sillok_visit.failed(exception)


def _read(request: HttpRequest) -> Request:
    url = f"{request.scheme}://{_host(request)}{request.get_full_path()}"
    return Request(request.method or "", url, request.headers.get, request.META.get("REMOTE_ADDR"))


def _host(request: HttpRequest) -> str:
    """Return the host as it was asked for: whether it is allowed is not for an observer to say."""
    try:
        return str(request.get_host())
    except Exception:  # noqa: BLE001  one that `ALLOWED_HOSTS` has not, or that is none
        return str(request.META.get("HTTP_HOST") or request.META.get("SERVER_NAME", ""))


def _answer(request: HttpRequest, response: HttpResponse) -> Answer:
    match: Any = request.resolver_match
    return Answer(response.status_code, response.get("Content-Type"), match.view_name if match else None)
