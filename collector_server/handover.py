"""Batches on their way from the event loop to the writer's thread, and their answers on the way back."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Final

from collector_server.bugs import log_bug
from contract.errors import SpoolUnavailable
from storage.spool.active import Pending

# A batch waits for this many turns of a busy event loop, about 0.2 ms each, and for one of an idle one. Without it
# groups are of one or two batches where a disk is fast, and a batch of 50 events costs a fifth more CPU.
_TURNS_MAX: Final = 8

Submit = Callable[[Pending], None]


class Handover:
    """Gives the writer what the last turns of the event loop brought, once a turn brings nothing more.

    Handed over one by one, the first would wake the writer's thread and the others miss its group.
    """

    def __init__(self, submit: Submit) -> None:
        self._submit = submit
        self._turn: list[Pending] = []

    def put(self, pending: Pending) -> None:
        """Queue a batch; its `waiter(receipt, error)` is called on the event loop, later."""
        self._turn.append(pending)
        if len(self._turn) == 1:
            asyncio.get_running_loop().call_soon(self._give, 1, _TURNS_MAX)

    async def durable(self, pending: Pending) -> str:
        """Return the batch's receipt once it is on disk; raise SpoolUnavailable when it cannot be."""
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        pending.waiter = partial(_wake, future)
        self.put(pending)
        return await future

    def _give(self, before: int, turns_left: int) -> None:
        if len(self._turn) > before and turns_left:
            asyncio.get_running_loop().call_soon(self._give, len(self._turn), turns_left - 1)
            return
        batches, self._turn = self._turn, []
        for pending in batches:
            try:
                self._submit(pending)
            except SpoolUnavailable as error:
                resolve([pending], error)


def resolve(batches: list[Pending], error: BaseException | None) -> None:
    """Answer the requests of one group; runs on the event loop."""
    for pending in batches:
        try:
            pending.waiter(pending.receipt, error)
        except Exception as bug:  # noqa: BLE001 - its neighbours want their answers
            log_bug(bug)


def _wake(future: asyncio.Future[str], receipt: str, error: BaseException | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(receipt)
    else:
        future.set_exception(error)
