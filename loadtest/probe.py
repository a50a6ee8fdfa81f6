"""Asks a collector, with an empty batch, whether it is there and takes the key."""

import asyncio
from typing import Final
from urllib.parse import urlsplit

from contract.errors import UsageError
from loadtest.connection import Connection

_PATIENCE_S: Final = 10.0
_OK: Final = 200
_KEY_REFUSED: Final = (401, 403)
_BODY: Final = b'{"events":[]}'


async def probe(url: str, write_key: str) -> None:
    """Return when it does; raise UsageError with what is wrong."""
    parts = urlsplit(url)
    answer: asyncio.Future[tuple[int, bytes]] = asyncio.get_running_loop().create_future()

    def answered(_connection: Connection, status: int, body: bytes) -> None:
        if not answer.done():
            answer.set_result((status, body))

    head = (
        f"POST {parts.path.rstrip('/')}/v1/events HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        f"Authorization: Bearer {write_key}\r\nContent-Length: {len(_BODY)}\r\n\r\n"
    )
    try:
        loop = asyncio.get_running_loop()
        opened = loop.create_connection(lambda: Connection(answered), parts.hostname or "", parts.port or 80)
        _, connection = await asyncio.wait_for(opened, _PATIENCE_S)
        connection.send(head.encode() + _BODY)
        status, body = await asyncio.wait_for(answer, _PATIENCE_S)
        connection.close()
    except (OSError, TimeoutError, UnicodeError) as error:
        raise UsageError(f"no collector answers at {url}: start it, or correct --url") from error
    if status in _KEY_REFUSED:
        raise UsageError(f"the collector does not take this key (status {status}): see `sillok keys`")
    if status != _OK:
        raise UsageError(f"the collector answers {status or 'nothing'} to an empty batch: see `sillok doctor`")
    if b'"accepted"' not in body:
        raise UsageError(f"what answers at {url} is no collector: correct --url")
