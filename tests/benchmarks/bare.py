"""`python -m tests.benchmarks.bare PORT`: aiohttp with a handler that reads the body and says 200, to measure against."""

import asyncio
import sys

import uvloop
from aiohttp import web

_ANSWER = b'{"accepted":1,"rejected":[],"receipt":"0.1.2.3"}'


async def main(port: int) -> None:
    """Serve until killed."""

    async def handle(request: web.BaseRequest) -> web.Response:
        await request.read()
        return web.Response(body=_ANSWER, content_type="application/json")

    runner = web.ServerRunner(web.Server(handle, auto_decompress=False, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
