"""One web request: whose it is, the page it showed, the error it met. The frameworks' modules are thin over this.

A page view is a page that a person saw: a `GET` answered with HTML and a 2xx, asked for by going there. No redirect is
one, nothing that a browser fetched ahead (prefetch, prerender), and no part of a page that a script asked for. From 400
on an answer is an `error`, `HTTP_404`, and an exception is one under its class's name.

Always true: what goes wrong in here, in the framework when it is asked, or in `more`, is logged once and changes no
answer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from sillok_sdk.fields import CONTEXT_KINDS
from sillok_sdk.trouble import Troubles

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, MutableMapping

    from sillok_sdk.events import Events
    from sillok_sdk.scope import Block

_ERROR_FROM = 400
_MESSAGE_CHARACTERS_MAX = 1_000
_PAGES = ("text/html", "application/xhtml+xml")
# Nothing is shown: the browser stays where it is.
_NO_PAGE = (204, 205)
# What browsers, and scripts in their name, write on a request that nobody has asked for yet.
_PURPOSES = ("Sec-Purpose", "Purpose", "X-Purpose", "X-Moz", "X-Sec-Purpose")
_AHEAD = ("prefetch", "prerender", "preview")
_PLACES_OF_A_PAGE = ("document", "iframe", "frame", "embed", "object")


class Request(NamedTuple):
    """What is known of a request. `header` returns one by its name."""

    method: str
    url: str
    header: Callable[[str], Optional[str]]
    ip: str | None


class Answer(NamedTuple):
    """What is known of its answer."""

    status: int
    content_type: str | None
    route: str | None = None


class Observer:
    """Sees the requests of one application, for one client; `more` returns further fields of a request."""

    def __init__(self, client: Callable[[], Events], more: Callable[[Any], Mapping[str, Any] | None] | None) -> None:
        self._client = client
        self._more = more
        self._troubles = Troubles()

    def visit(self, request: Any, read: Callable[[], Request], place: MutableMapping[str, Any]) -> Visit:
        """Return the visit of a request. `place` is the request's own, where the visit is marked: twice is once."""
        visit = Visit(self)
        self.guard("the request", lambda: visit.begin(self._client(), read(), place))
        self.guard("more", lambda: visit.know(self._known(request)))
        return visit

    def guard(self, what: str, call: Callable[[], object]) -> None:
        """Do it; say once that it went wrong, and go on."""
        try:
            call()
        except Exception as error:  # noqa: BLE001  an observer changes no answer
            self._troubles.tell("not_recorded", f"{type(error).__name__} in {what}", what)

    def _known(self, request: Any) -> dict[str, Any]:
        fields = dict((self._more(request) if self._more else None) or {})
        for name in fields.keys() - CONTEXT_KINDS.keys():
            del fields[name]
            self._troubles.tell("left_out", f"more: no field {str(name)[:64]!r}; the others are recorded", str(name))
        return fields


class Visit:
    """A request in the making; `with visit:` lays its fields under the events of whoever handles it."""

    def __init__(self, observer: Observer) -> None:
        self._observer = observer
        self._client: Events | None = None
        self._request = Request("", "", lambda _name: None, None)
        self._fields: dict[str, Any] = {}
        self._block: Block | None = None
        self._is_told = False
        self._unmark: Callable[[], object] | None = None

    def begin(self, client: Events, request: Request, place: MutableMapping[str, Any]) -> None:
        """Take what is known of the request; nothing, when this client has seen it already."""
        mark = f"sillok.visit.{id(client)}"
        if mark in place:
            return
        place[mark] = True
        self._unmark = lambda: place.pop(mark, None)
        self._client = client
        self._request = request
        self._fields = {"page_url": request.url, "ip": request.ip, "user_agent": request.header("User-Agent")}

    def know(self, fields: Mapping[str, Any]) -> None:
        """Lay further fields under the visit's events."""
        self._fields.update(fields)

    def __enter__(self) -> None:
        self._observer.guard("its block", self._enter)

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, Exception):
            self.failed(error)
        self._observer.guard("its block", self._leave)

    def answered(self, read: Callable[[], Answer]) -> None:
        """Record the page that was shown, or the error."""
        self._observer.guard("the answer", lambda: self._tell_answer(read()))

    def failed(self, error: BaseException) -> None:
        """Record an exception that nobody caught."""
        self._observer.guard("the exception", lambda: self._tell_error(type(error).__name__, _text(error)))

    def _enter(self) -> None:
        if self._client is not None:
            self._block = self._client.context(**self._fields)
            self._block.__enter__()

    def _leave(self) -> None:
        if self._unmark is not None:
            self._unmark()
        if self._block is not None:
            self._block.__exit__(None, None, None)

    def _tell_answer(self, answer: Answer) -> None:
        if answer.status >= _ERROR_FROM:
            self._tell_error(f"HTTP_{answer.status}", None)
        elif self._client is not None and not self._is_told and _is_page(answer) and _is_seen(self._request):
            self._is_told = True
            with self._client.context(**self._fields):
                self._client.page_view(page_name=answer.route, referrer=self._request.header("Referer"))

    def _tell_error(self, code: str, message: str | None) -> None:
        """Record one error a request: the exception behind a 500 comes first, and says more."""
        if self._client is not None and not self._is_told:
            self._is_told = True
            # Within the request's fields, also when its block has not begun or is over.
            with self._client.context(**self._fields):
                self._client.error(error_code=code, error_message=message, error_page=self._request.url)


def _is_page(answer: Answer) -> bool:
    kind = (answer.content_type or "").partition(";")[0].strip().lower()
    return answer.status // 100 == 2 and answer.status not in _NO_PAGE and kind in _PAGES  # noqa: PLR2004


def _is_seen(request: Request) -> bool:
    """Return whether a person went to this page, as far as the request says."""
    if request.method != "GET":
        return False
    header = request.header
    purposes = " ".join(header(name) or "" for name in _PURPOSES).lower()
    if any(word in purposes for word in _AHEAD):
        return False
    is_drive = header("X-Turbo-Request-Id") and not header("Turbo-Frame")
    if is_drive or header("HX-Boosted") or header("X-PJAX"):
        return True  # scripts that fetch the whole page a person goes to
    if header("HX-Request") or header("Turbo-Frame") or (header("X-Requested-With") or "").lower() == "xmlhttprequest":
        return False
    return (header("Sec-Fetch-Dest") or "document").lower() in _PLACES_OF_A_PAGE


def _text(error: BaseException) -> str | None:
    try:
        return str(error)[:_MESSAGE_CHARACTERS_MAX]
    except Exception:  # noqa: BLE001  its class is told
        return None
