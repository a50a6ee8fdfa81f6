"""Records what visitors of a Flask application meet.

record(app, sillok)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g, got_request_exception, request

from sillok_sdk.integrations.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sillok_sdk.client import Client


def record(app: Flask, client: Client, more: Callable[[], Mapping[str, Any]] | None = None) -> None:
    """Record page views, by their endpoint, and errors. `more` returns further fields of the current request."""

    def begin() -> None:
        g.sillok_visit = visit = Visit(
            client,
            request.method,
            url=request.url,
            referrer=request.referrer,
            ip=request.remote_addr,
            user_agent=request.headers.get("User-Agent"),
            more=more,
        )
        visit.__enter__()

    def failed(_app: Flask, exception: Exception, **_: Any) -> None:
        if "sillok_visit" in g:
            g.sillok_visit.failed(exception)

    def answered(response: Response) -> Response:
        if "sillok_visit" in g:
            g.sillok_visit.answered(response.status_code, response.content_type, request.endpoint)
        return response

    def end(_error: BaseException | None) -> None:
        if (visit := g.pop("sillok_visit", None)) is not None:
            visit.__exit__(None, None, None)

    app.before_request(begin)
    app.after_request(answered)
    app.teardown_request(end)
    got_request_exception.connect(failed, app, weak=False)
