"""Records what visitors of a Flask application meet.

record(app, sillok)
"""

from __future__ import annotations

from inspect import signature
from typing import TYPE_CHECKING, Any, cast

from flask import Flask, Response, g, got_request_exception, request

from sillok_sdk.integrations.visit import Answer, Observer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from flask import Request as FlaskRequest

    from sillok_sdk.events import Events


def record(app: Flask, client: Events, more: Callable[[FlaskRequest], Mapping[str, Any]] | None = None) -> None:
    """Record page views, by their endpoint, and errors. `more` returns further fields of a request."""
    observer = Observer(lambda: client, _of_request(more))

    def begin() -> None:
        asked = cast("Any", request)._get_current_object()  # noqa: SLF001  Flask's documented way to the object itself
        g.sillok_visit = visit = observer.visit(asked, lambda: _read(asked), asked.environ)
        visit.__enter__()

    def failed(_app: Flask, exception: Exception, **_: Any) -> None:
        if "sillok_visit" in g:
            g.sillok_visit.failed(exception)

    def answered(response: Response) -> Response:
        if "sillok_visit" in g:
            endpoint = request.endpoint
            g.sillok_visit.answered(lambda: Answer(response.status_code, response.content_type, endpoint))
        return response

    def end(_error: BaseException | None) -> None:
        if (visit := g.pop("sillok_visit", None)) is not None:
            visit.__exit__(None, None, None)

    app.before_request(begin)
    app.after_request(answered)
    app.teardown_request(end)
    got_request_exception.connect(failed, app, weak=False)


def _read(asked: FlaskRequest) -> Request:
    return Request(asked.method, asked.url, asked.headers.get, asked.remote_addr)


def _of_request(more: Callable[..., Mapping[str, Any]] | None) -> Callable[[Any], Mapping[str, Any]] | None:
    """Return `more` as a function of the request; one that takes nothing reads Flask's current one."""
    if more is None:
        return None
    try:
        signature(more).bind(request)
    except TypeError:
        return lambda _request: more()
    except ValueError:  # a builtin's, which tells nothing
        return more
    return more
