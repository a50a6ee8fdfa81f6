"""One method per type of event: what both clients have, whatever sends."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, cast

from sillok_sdk import lifecycle
from sillok_sdk.batch import Figures
from sillok_sdk.errors import FieldError, SettingError
from sillok_sdk.fields import ContextFields, CustomFields, EventFields, checked, checked_context
from sillok_sdk.fitting import fitted
from sillok_sdk.ids import Ids
from sillok_sdk.instance import Heirs, Instance, Turns, described, left_at_the_end
from sillok_sdk.queue import Queue
from sillok_sdk.scope import Block, Scope
from sillok_sdk.settings import Settings, checked_folder, checked_settings
from sillok_sdk.transport import HttpTransport, Transport
from sillok_sdk.trouble import Troubles, show
from sillok_sdk.wire import Envelope, request_headers

if TYPE_CHECKING:
    import os
    import ssl

    from typing_extensions import Unpack


class Events:
    """Makes events. One client per process is enough; threads and tasks may share it.

    Every event method takes the fields of `sillok_sdk.fields.EventFields` as keywords and returns the
    event's id at once. `time` is in milliseconds since the epoch (default: now); `event_id` is a UUID
    (default: a new UUIDv7); `context` is laid over the client's own for this one event. A misspelt field
    raises `FieldError`; nothing else is raised, whatever the network does. A value of another type is made into what
    the field is, or left out; that is logged once for each field, and `left_out` counts it.
    """

    def __init__(
        self,
        url: str,
        write_key: str,
        *,
        context: Mapping[str, Any] | None = None,
        batch_events: int = 50,
        batch_bytes: int = 512 * 1024,
        flush_interval_ms: int = 1_000,
        queue_events_max: int = 100_000,
        queue_bytes_max: int = 128 * 1024 * 1024,
        timeout_ms: int = 10_000,
        close_timeout_ms: int = 2_000,
        gzip_bytes_min: int | None = 1_024,
        retry_first_ms: int = 500,
        retry_max_ms: int = 30_000,
        refused_retry_ms: int = 60_000,
        on_full: str = "drop_new",
        folder: str | os.PathLike[str] | None = None,
        journal_bytes_max: int = 64 * 1024 * 1024,
        debug: bool = False,
        ssl_context: ssl.SSLContext | None = None,
        transport: Transport | None = None,
    ) -> None:
        """Build a client; no connection is made and no thread started before the first event.

        `sillok_sdk.settings.Settings` says what each costs. With a `folder` an event is in a file there before its
        call returns, and what a killed process left is sent by the next one that uses the folder. `transport`
        replaces HTTP; `url` is then only a name. Raises `SettingError`, or `FieldError` for an unknown key of
        `context`.
        """
        given: dict[str, Any] = {**locals(), "folder": None if folder is None else checked_folder(folder)}
        self._settings = checked_settings(Settings(**{name: given[name] for name in Settings._fields}))
        self._headers = request_headers(write_key)
        self._url = url
        self._http = HttpTransport(url, ssl_context) if transport is None else transport
        if context is not None and not isinstance(context, Mapping):
            raise FieldError(f"Client: context must be a mapping, not {type(context).__name__}")
        self._troubles = Troubles(debug=debug)
        if debug:
            show()
            self._troubles.say("begun", f"events go to {str(url).rstrip('/')}/v1/events")
        self._left_out: dict[str, int] = {}
        self._context = {"platform": "server", **checked_context(context or {}, self._leave_out)}
        self._own_scope = Scope(self._context, {})
        self._scope: ContextVar[Scope | None] = ContextVar("sillok_scope", default=None)
        self._instances: list[Instance] = []
        lifecycle.import_for_threads(with_folder=folder is not None)
        self._begin()
        lifecycle.opened(self)

    def page_view(self, **fields: Unpack[EventFields]) -> str:
        """Record that a page or screen was shown: `page_url`, `referrer`, `page_code`, `page_name`."""
        return self._add("page_view", fields)

    def click(self, **fields: Unpack[EventFields]) -> str:
        """Record a click or tap: `click_text`, `click_name`."""
        return self._add("click", fields)

    def checkbox(self, **fields: Unpack[EventFields]) -> str:
        """Record a box that was ticked or cleared: `checkbox_name`, `checkbox_checked`."""
        return self._add("checkbox", fields)

    def popup(self, **fields: Unpack[EventFields]) -> str:
        """Record that a popup was shown: `popup_name`."""
        return self._add("popup", fields)

    def tab(self, **fields: Unpack[EventFields]) -> str:
        """Record that a tab was chosen: `tab_name`."""
        return self._add("tab", fields)

    def step(self, **fields: Unpack[EventFields]) -> str:
        """Record a step of a flow: `flow_name`, `step_position` (1…999), `step_name`."""
        return self._add("step", fields)

    def search(self, **fields: Unpack[EventFields]) -> str:
        """Record a search: `search_text`."""
        return self._add("search", fields)

    def login(self, **fields: Unpack[EventFields]) -> str:
        """Record a login: `customer_id`."""
        return self._add("login", fields)

    def logout(self, **fields: Unpack[EventFields]) -> str:
        """Record a logout: `customer_id`."""
        return self._add("logout", fields)

    def error(self, **fields: Unpack[EventFields]) -> str:
        """Record an error that a person met: `error_code`, `error_message`, `error_page`."""
        return self._add("error", fields)

    def exit(self, **fields: Unpack[EventFields]) -> str:
        """Record that a person left: `exit_menu`."""
        return self._add("exit", fields)

    def track(self, event_name: str, **fields: Unpack[CustomFields]) -> str:
        """Record an event of the site's own, by its name."""
        named = cast("dict[str, Any]", fields)
        try:
            named["event_name"] = event_name if type(event_name) is str else fitted("event_name", str, event_name)
        except ValueError as error:
            raise FieldError(f"track: event_name {error}") from None
        except Exception as error:  # noqa: BLE001  a caller's value may raise anything
            raise FieldError(f"track: event_name raised {type(error).__name__}") from None
        return self._add("custom", cast("EventFields", named))

    def context(self, **fields: Unpack[ContextFields]) -> Block:
        """Lay fields under every event made in this `with` block, in this thread or task.

            with sillok.context(session_id=session, ip=request.remote_addr, user_agent=agent):
                sillok.page_view(page_code="M0301")

        `ip` and `user_agent` are those of a request that is relayed, honoured for keys of kind `server`.
        Raises `FieldError`.
        """
        return Block(self._scope, self._here().within(fields, self._leave_out))

    def identify(self, customer_id: str) -> str:
        """Say who is logged in, for this block of `context`, or for the client where there is none.

        Records a `login` and returns its id when it was somebody else; otherwise, and for an id that stands for
        nobody, returns an empty text.
        """
        known = checked({"customer_id": customer_id}, self._leave_out, "identify")
        fields = self._here().fields
        if not known or fields.get("customer_id") == known["customer_id"]:
            return ""
        fields.update(known)
        return self.login()

    def reset(self) -> str:
        """Say that nobody is logged in any more; records a `logout`, and returns its id, when somebody was."""
        fields = self._here().fields
        if "customer_id" not in fields:
            return ""
        event_id = self.logout()
        del fields["customer_id"]
        return event_id

    def figures(self) -> Figures:
        """Return the account as it stands: events `created`, `pending`, and `dropped` by reason."""
        each = [instance.queue.figures() for instance in self._instances]
        dropped: dict[str, int] = {}
        for figures in each:
            for reason, count in figures.dropped.items():
                dropped[reason] = dropped.get(reason, 0) + count
        return Figures(sum(f.created for f in each), sum(f.pending for f in each), dropped)

    def left_out(self) -> dict[str, int]:
        """Return how many values were left out so far, by field: what the field cannot be, and nobody's ids."""
        return dict(self._left_out)

    def begin_again(self) -> None:
        """Start afresh in a forked child; the pending events stay the parent's."""
        was_closing = self._queue.closing
        for instance in self._instances:
            instance.queue.abandon()
        try:
            self._begin()
        except Exception as error:  # noqa: BLE001  a fork must not fail for want of a disk
            Troubles().tell("not_durable", f"{type(error).__name__} for the folder; this process queues in memory")
            self._settings = self._settings._replace(folder=None, on_full="drop_new")
            self._begin()
        if was_closing:
            for instance in self._instances:
                instance.queue.close(0.0)

    def end(self, timeout_ms: int | None = None) -> bool:
        """Send what waits from this very thread, at the end of the process; `True` if nothing had to be given up."""
        timeout_s = self._timeout_s(timeout_ms)
        ends = time.monotonic() + timeout_s
        with self._closing:
            self._stop(timeout_s)
            ended = [instance.end(max(0.0, ends - time.monotonic())) for instance in self._instances]
            if all(ended):
                self._transport.close()
            self._is_started = False
        return self._ended()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._url!r})"

    def _begin(self) -> None:
        """Make all that belongs to one instance: its ids, its queue, its sender, no thread yet."""
        self._ids = Ids()
        # A lock that a parent's thread held at the fork would stay locked.
        self._transport = self._http if self._settings.folder is None else Turns(self._http)
        self._closing = threading.Lock()
        self._is_started = False
        self._heirs: Heirs | None = None
        is_spilling = self._settings.on_full == "spill"
        self._instances = [self._instance(is_durable=self._settings.folder is not None and not is_spilling)]
        if is_spilling:
            self._instances.append(self._instance(is_durable=True))
        self._queue = self._instances[0].queue
        self._put = self._put_and_say if self._settings.debug else self._queue.put
        self._overflow = self._instances[-1].queue

    def _instance(self, *, is_durable: bool) -> Instance:
        client_id = self._ids.new()
        queue = self._durable_queue(client_id) if is_durable else Queue(self._settings)
        envelope = Envelope(client_id, self._context)
        return Instance(queue, envelope, self._transport, self._headers, self._settings)

    def _durable_queue(self, client_id: str) -> Queue:
        from sillok_sdk.durable import DurableQueue  # noqa: PLC0415  importing the package stays cheap
        from sillok_sdk.journal import Journal  # noqa: PLC0415

        settings = self._settings
        if settings.on_full == "spill":
            settings = settings._replace(on_full="drop_new")
        folder = str(settings.folder)
        try:
            told = described(client_id, self._context)
            return DurableQueue(settings, Journal.create(folder, client_id, settings.journal_bytes_max, told))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "it is no path"
            raise SettingError(f"folder: no journal can be made in {folder}: {why}") from error

    def _leave_out(self, place: str, name: str, why: str) -> None:
        self._left_out[name] = self._left_out.get(name, 0) + 1
        self._troubles.tell("left_out", f"{place}: {name} {why}; the event goes without it", name)

    def _put_and_say(self, context: bytes, fields: dict[str, Any]) -> bool:
        names = " ".join(sorted(fields.keys() - {"event_type", "event_id", "time"}))
        self._troubles.say("recorded", f"{fields['event_type']} {fields['event_id']} with {names or 'no field'}")
        return self._queue.put(context, fields)

    def _here(self) -> Scope:
        return self._scope.get() or self._own_scope

    def _add(self, event_type: str, given: Any) -> str:
        fields = checked(given, self._leave_out, event_type)
        scope = self._scope.get() or self._own_scope
        if "context" in fields:
            scope = scope.within(fields.pop("context"), self._leave_out)
        if scope.fields:
            fields = {**scope.fields, **fields}
        ms = time.time_ns() // 1_000_000
        event_id: str | None = fields.get("event_id")
        if event_id is None:
            event_id = fields["event_id"] = self._ids.new(ms)
        if "time" not in fields:
            fields["time"] = ms
        fields["event_type"] = event_type
        if not self._put(scope.members, fields):
            self._overflow.put(scope.members, fields)
        if not self._is_started:
            self._start()
        return event_id

    def _start(self) -> None:
        if self._queue.closing:
            lifecycle.opened(self)  # closed already: the exit still has this drop to report
        elif self._start_sending():
            self._is_started = True
            lifecycle.close_at_child_exit()
            if self._settings.folder is not None:
                self._heirs = Heirs(self._transport, self._headers, self._settings)
                self._heirs.start()

    def _start_sending(self) -> bool:
        """Have the queues sent from now on; `False` when that cannot be yet."""
        raise NotImplementedError

    def _timeout_s(self, timeout_ms: int | None) -> float:
        return (self._settings.close_timeout_ms if timeout_ms is None else timeout_ms) / 1000

    def _stop(self, timeout_s: float) -> None:
        """Take no more events, and send what waits without waiting for company."""
        for instance in self._instances:
            instance.stop(timeout_s)
        if self._heirs is not None:
            self._heirs.stop(timeout_s)

    def _ended(self) -> bool:
        lifecycle.closed(self)
        figures = self.figures()
        self._troubles.say("closed", f"{figures.created} created, {figures.pending} pending, dropped {figures.dropped}")
        lost = figures.dropped.get("closed", 0)
        if not figures.pending and not lost:
            return True
        self._troubles.tell("closed", left_at_the_end(self._instances, lost, self._settings.folder))
        return False
