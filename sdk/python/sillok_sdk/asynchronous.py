"""The client of an asyncio program: the same events, queues and answers, sent by a task of the running loop.

    async with AsyncClient("https://collect.example.com", "wk_…") as sillok:
        sillok.page_view(page_code="M0301")

Making an event waits for nothing and needs no `await`. What an event loop leaves behind when it ends without
`close()` is sent at the end of the process, as by `Client`.
"""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from sillok_sdk.events import Events
from sillok_sdk.streams import StreamTransport

if TYPE_CHECKING:
    import ssl
    from types import TracebackType

    from typing_extensions import Self

    from sillok_sdk.batch import Batch
    from sillok_sdk.instance import Instance
    from sillok_sdk.queue import Queue
    from sillok_sdk.sender import Pause, Sender

# What a task may be late after the time is over.
_MOMENT_S = 0.05


class AsyncClient(Events):
    """Makes events, and sends them from a task. It belongs to the loop in which its first event is made."""

    def __init__(self, url: str, write_key: str, *, ssl_context: ssl.SSLContext | None = None, **settings: Any) -> None:
        """Take what `Client` takes, but for `on_full="block"`, which would hold up the loop."""
        if settings.get("on_full") == "block":
            settings["on_full"] = "drop_new"
        super().__init__(url, write_key, ssl_context=ssl_context, **settings)
        self._ssl_context = ssl_context
        self._tasks: list[asyncio.Task[None]] = []

    async def flush(self, timeout_ms: int | None = None) -> bool:
        """Wait until every event made so far is acknowledged or dropped; `False` if time ran out first."""
        timeout_s = None if timeout_ms is None else timeout_ms / 1000
        loop = asyncio.get_running_loop()
        waits = (loop.run_in_executor(None, instance.queue.flush, timeout_s) for instance in self._instances)
        return all(await asyncio.gather(*waits))

    async def close(self, timeout_ms: int | None = None) -> bool:
        """Send what waits and the last report, then stop; `True` if nothing had to be given up."""
        timeout_s = self._timeout_s(timeout_ms)
        if not self._tasks:
            self._start_sending()
        self._stop(timeout_s)
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=timeout_s + _MOMENT_S)
        late = list(self._tasks)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        self._is_started = False
        for instance in self._instances:
            instance.queue.let_go()
        self._transport.close()  # the heirs' own, which is a thread's
        return self._ended()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def _start_sending(self) -> bool:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # made outside any loop: it waits for an event made inside one
            return False
        for instance in self._instances:
            streams = StreamTransport(self._url, self._ssl_context)
            task = loop.create_task(_run(instance, streams, loop))
            task.add_done_callback(self._over)
            self._tasks.append(task)
        return True

    def _over(self, task: asyncio.Task[None]) -> None:
        """Begin again with the next event, if it comes in another loop."""
        self._is_started = False
        if task in self._tasks:
            self._tasks.remove(task)


async def _run(instance: Instance, streams: StreamTransport, loop: asyncio.AbstractEventLoop) -> None:
    """Send a queue as `Sender.run` does, with every wait awaited."""
    queue, sender = instance.queue, instance.sender
    woken = asyncio.Event()
    queue.listen(partial(_call_safely, loop, woken.set))
    try:
        while (batch := queue.take()) is not None or not queue.is_over():
            if batch is None:
                await _wait(woken, queue.rest())
                continue
            pause = await _attempt(sender, queue, batch, streams)
            end = time.monotonic() + pause.seconds
            while (left := queue.left_of_pause(end, firm=pause.firm)) > 0:
                await _wait(woken, left)
    finally:
        await streams.close()


async def _attempt(sender: Sender, queue: Queue, batch: Batch, streams: StreamTransport) -> Pause:
    figures, body, headers = sender.prepared(batch)
    try:
        answer = await streams.send(body, headers, sender.timeout_s())
    except Exception as error:  # noqa: BLE001  whatever went wrong, it was not an answer
        return sender.unanswered(batch, error)
    except BaseException:  # cancelled
        queue.keep(batch, in_doubt=True)
        raise
    return sender.obey(batch, figures, answer)


async def _wait(woken: asyncio.Event, seconds: float | None) -> None:
    try:
        await asyncio.wait_for(woken.wait(), seconds)
    except asyncio.TimeoutError:
        return
    woken.clear()


def _call_safely(loop: asyncio.AbstractEventLoop, call: Any) -> None:
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:  # the loop is closed; the end of the process sends
        return
