"""What is where: the admin plane's own front page, for whoever opens the port to see what it is."""

from html import escape
from typing import Final

from aiohttp import web

from collector_server.settings import CollectorSettings

_MEANINGS: Final = {
    "/demo": "click, and watch the events arrive",
    "/healthz": "alive: always 200",
    "/readyz": "ready to take events, or 503 and what is waited for",
    "/metrics": "figures for Prometheus",
}


def add_addresses(app: web.Application, serve: CollectorSettings) -> None:
    """List the application's addresses at `/`: as text, and for a browser as links."""
    there = {resource.canonical for resource in app.router.resources()}
    listed = [(path, meaning) for path, meaning in _MEANINGS.items() if path in there]
    scheme = "https" if serve.tls_certificate else "http"
    ingest = f"Events go to another port: POST {scheme}://{{host}}:{serve.port}/v1/events"

    async def root(request: web.Request) -> web.Response:
        events = ingest.format(host=request.url.host or serve.host)
        if "text/html" in request.headers.get("Accept", ""):
            return web.Response(
                text=_page(listed, events),
                content_type="text/html",
                headers={"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"},
            )
        lines = [f"{path:<10}{meaning}" for path, meaning in listed]
        return web.Response(text="\n".join(["Sillok, admin", *lines, events]) + "\n")

    app.router.add_get("/", root)


def _page(listed: list[tuple[str, str]], events: str) -> str:
    links = "".join(f'<li><a href="{path}">{path}</a> {escape(meaning)}</li>' for path, meaning in listed)
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/><title>Sillok, admin</title>'
        "<style>body{font:16px/1.6 system-ui,sans-serif;margin:2em;max-width:40em}a{font-family:monospace}</style>"
        f"</head><body><h1>Sillok, admin</h1><ul>{links}</ul><p>{escape(events)}</p></body></html>\n"
    )
