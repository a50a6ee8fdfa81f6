"""Records what visitors of any WSGI application meet.

application = Middleware(application, sillok)
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from sillok_sdk.integrations.visit import Visit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from sillok_sdk.client import Client

    Environ = dict[str, Any]
    Application = Callable[[Environ, Callable[..., Any]], Iterable[bytes]]


class Middleware:
    """Records page views and errors. `more` returns further fields of a request, such as its `session_id`."""

    def __init__(
        self, application: Application, client: Client, more: Callable[[Environ], Mapping[str, Any]] | None = None
    ) -> None:
        self._application = application
        self._client = client
        self._more = more

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer as the application does."""
        visit = Visit(
            self._client,
            environ["REQUEST_METHOD"],
            url=_url(environ),
            referrer=environ.get("HTTP_REFERER"),
            ip=environ.get("REMOTE_ADDR"),
            user_agent=environ.get("HTTP_USER_AGENT"),
            more=partial(self._more, environ) if self._more else None,
        )

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            types = [value for name, value in headers if name.lower() == "content-type"]
            visit.answered(int(status.partition(" ")[0]), types[0] if types else None)
            return start_response(status, headers, *rest)

        with visit:
            return self._application(environ, started)


def _url(environ: Environ) -> str:
    host = environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")
    # WSGI hands bytes over as Latin-1.
    path = (environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")).encode("latin-1", "replace")
    query = environ.get("QUERY_STRING")
    return f"{environ.get('wsgi.url_scheme', 'http')}://{host}{path.decode('utf-8', 'replace')}" + (
        f"?{query}" if query else ""
    )
