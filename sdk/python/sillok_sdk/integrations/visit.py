"""One web request: whose it is, the page it showed, the error it met. The frameworks' modules are thin over this.

A page view is a `GET` answered below 400 with HTML; from 400 on an answer is an `error`, `HTTP_404`, and an
exception is one under its class's name. What goes wrong in here never reaches the request.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sillok_sdk.client import Client
    from sillok_sdk.scope import Block

_ERROR_FROM = 400
_MESSAGE_CHARACTERS_MAX = 1_000


class Visit:
    """A request in the making; `with visit:` lays its fields under the events of whoever handles it."""

    def __init__(
        self,
        client: Client,
        method: str,
        *,
        url: str,
        referrer: str | None = None,
        ip: str | None = None,
        user_agent: str | None = None,
        more: Callable[[], Mapping[str, Any]] | None = None,
    ) -> None:
        self._client = client
        self._method = method
        self._url = url
        self._fields: dict[str, Any] = {"page_url": url, "ip": ip, "user_agent": user_agent}
        with suppress(Exception):
            self._fields.update(more() if more else {})
        self._referrer = referrer
        self._is_told = False
        self._block: Block | None = None

    def __enter__(self) -> None:
        with suppress(Exception):
            self._block = self._client.context(**self._fields)
            self._block.__enter__()

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception):
            self.failed(error)
        if self._block is not None:
            with suppress(Exception):
                self._block.__exit__(None, None, None)

    def answered(self, status: int, content_type: str | None, route: str | None = None) -> None:
        """Record the page that was shown, or the error."""
        if status >= _ERROR_FROM:
            self._tell_error(f"HTTP_{status}", None)
        elif self._method == "GET" and (content_type or "").startswith("text/html") and not self._is_told:
            self._is_told = True
            self._record(self._client.page_view, page_name=route, referrer=self._referrer)

    def failed(self, error: Exception) -> None:
        """Record an exception that nobody caught."""
        self._tell_error(type(error).__name__, str(error)[:_MESSAGE_CHARACTERS_MAX])

    def _tell_error(self, code: str, message: str | None) -> None:
        """Record one error a request: the exception behind a 500 comes first, and says more."""
        if not self._is_told:
            self._is_told = True
            self._record(self._client.error, error_code=code, error_message=message, error_page=self._url)

    def _record(self, method: Callable[..., str], **fields: Any) -> None:
        """Record within the request's fields, also when its block has not begun or is over."""
        with suppress(Exception), self._client.context(**self._fields):
            method(**fields)
