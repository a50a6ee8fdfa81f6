"""What the events made here and now have in common: a web request's visitor, a job's name, a customer.

A `with client.context(...)` block is a scope; where there is none, the client's own counts. Scopes follow
`contextvars`: a thread begins without any, an asyncio task with a copy of its maker's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sillok_sdk.fields import checked_context
from sillok_sdk.wire import context_members

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextvars import ContextVar, Token
    from types import TracebackType

    from sillok_sdk.fields import LeaveOut

# An event cannot carry these itself. All else goes with the event, so that many visitors share a batch.
_BATCH_ONLY = ("ip", "user_agent", "props")


class Scope:
    """`fields` are laid under every event's own; `members` is the context of its batch, encoded."""

    __slots__ = ("_batch", "fields", "members")

    def __init__(self, batch: Mapping[str, Any], fields: Mapping[str, Any]) -> None:
        self._batch = batch
        self.fields = dict(fields)
        self.members = context_members(batch)

    def within(self, given: Mapping[str, Any], leave_out: LeaveOut) -> Scope:
        """Return a scope inside this one. Raises `FieldError` for an unknown field."""
        known = checked_context(given, leave_out)
        batch = {name: known.pop(name) for name in _BATCH_ONLY if name in known}
        return Scope({**self._batch, **batch} if batch else self._batch, {**self.fields, **known})


class Block:
    """The `with` block that a scope lasts for; enter it once."""

    def __init__(self, current: ContextVar[Scope | None], scope: Scope) -> None:
        self._current = current
        self._scope = scope
        self._token: Token[Scope | None] | None = None

    def __enter__(self) -> None:
        self._token = self._current.set(self._scope)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            self._current.reset(self._token)
