"""The parent holds our standard input: it says there what to do, and when it ends, we are to stop.

What it says is one JSON value a line. Reading is unbuffered: what one reader leaves, the next one finds.
"""

import asyncio
import os
from collections.abc import Callable

_CHUNK: int = 64 * 1024


def read_line() -> bytes:
    """Wait for one line and take nothing of what comes after it."""
    line = bytearray()
    while not line.endswith(b"\n") and (byte := os.read(0, 1)):
        line += byte
    return bytes(line)


def follow_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event, take: Callable[[bytes], None]) -> None:
    """Hand on every further line of standard input, and set `stop` once it ends."""
    rest = bytearray()

    def readable() -> None:
        nonlocal rest
        data = os.read(0, _CHUNK)
        if not data:
            loop.remove_reader(0)
            stop.set()
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            take(bytes(line))

    loop.add_reader(0, readable)


def stop_with_stdin(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Set `stop` once standard input ends."""
    follow_stdin(loop, stop, lambda _: None)
