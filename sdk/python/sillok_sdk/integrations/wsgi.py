"""Records what visitors of any WSGI application meet.

application = Middleware(application, sillok)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sillok_sdk.integrations.visit import Answer, Observer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sillok_sdk.events import Events

    Environ = dict[str, Any]
    Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Middleware:
    """Records page views and errors. `more` returns further fields of a request, such as its `session_id`."""

    def __init__(
        self, application: Application, client: Events, more: Callable[[Environ], Mapping[str, Any]] | None = None
    ) -> None:
        self._application = application
        self._observer = Observer(lambda: client, more)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer as the application does."""
        visit = self._observer.visit(environ, lambda: _read(environ), environ)

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            visit.answered(lambda: _answer(status, headers))
            return start_response(status, headers, *rest)

        with visit:
            return self._application(environ, started)


def _read(environ: Environ) -> Request:
    def header(name: str) -> str | None:
        return environ.get("HTTP_" + name.upper().replace("-", "_"))

    return Request(environ["REQUEST_METHOD"], _url(environ), header, environ.get("REMOTE_ADDR"))


def _answer(status: str, headers: list[tuple[str, str]]) -> Answer:
    types = [value for name, value in headers if name.lower() == "content-type"]
    return Answer(int(status.partition(" ")[0]), types[0] if types else None)


def _url(environ: Environ) -> str:
    host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
    # WSGI hands bytes over as Latin-1.
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1", "replace")
    query = environ.get("QUERY_STRING")
    return f"{environ.get('wsgi.url_scheme', 'http')}://{host}{path.decode('utf-8', 'replace')}" + (
        f"?{query}" if query else ""
    )
