"""Try a collector from a shell.

python -m sillok_sdk send --url https://collect.example.com --key wk_… --type click click_text=매수 page_code=M0301
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from typing import Any

from sillok_sdk.client import Client
from sillok_sdk.errors import SillokError
from sillok_sdk.fields import CONTEXT_KINDS, EVENT_KINDS

_METHODS = (
    *("page_view", "click", "checkbox", "popup", "tab", "step", "search", "login", "logout", "error", "exit"),
    "custom",
)
_OK, _NOT_SENT, _USAGE = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Send one event, and say what became of it. Exit status: 0 acknowledged, 1 not, 2 a mistake in the call."""
    parser = argparse.ArgumentParser(prog="python -m sillok_sdk", description="Send one event to a Sillok collector.")
    send = parser.add_subparsers(required=True, metavar="send").add_parser("send", help="send one event")
    send.add_argument("--url", default=os.environ.get("SILLOK_URL"), help="the collector; else SILLOK_URL")
    send.add_argument("--key", default=os.environ.get("SILLOK_KEY"), help="the write key; else SILLOK_KEY")
    send.add_argument("--type", required=True, choices=_METHODS)
    send.add_argument("--timeout", type=float, default=10.0, metavar="SECONDS")
    send.add_argument("--debug", action="store_true", help="say what is recorded, sent, refused and left out")
    send.add_argument("fields", nargs="*", metavar="name=value", help="fields of the event; props are JSON")
    options = parser.parse_args(arguments)
    if not options.url or not options.key:
        send.error("say where to send and with which key: --url and --key, or SILLOK_URL and SILLOK_KEY")
    try:
        fields, context = _fields(options.fields)
        timeout_ms = round(options.timeout * 1000)
        client = Client(options.url, options.key, context=context, timeout_ms=timeout_ms, debug=options.debug)
        if options.type == "custom":
            event_id = client.track(fields.pop("event_name", "tried"), **fields)
        else:
            event_id = getattr(client, options.type)(**fields)
    except (SillokError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    is_settled = client.flush(round(options.timeout * 1000))
    dropped = client.figures().dropped
    client.close(timeout_ms=100)
    if is_settled and not dropped:
        sys.stdout.write(f"{event_id} acknowledged\n")
        return _OK
    why = ", ".join(dropped) if dropped else f"no answer that acknowledges it within {options.timeout:g} s"
    sys.stderr.write(f"{event_id} not acknowledged: {why}\n")
    return _NOT_SENT


def _fields(given: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the event's own fields and those of its context, each of its type."""
    fields: dict[str, Any] = {}
    context: dict[str, Any] = {}
    for text in given:
        name, sign, value = text.partition("=")
        if not sign:
            raise ValueError(f"{text}: a field is name=value")
        kind = EVENT_KINDS.get(name) or CONTEXT_KINDS.get(name, str)
        is_json = kind in (int, bool, dict)
        try:
            typed = json.loads(value) if is_json else value
        except ValueError:
            raise ValueError(f"{name}: {value} is not JSON") from None
        (context if name in CONTEXT_KINDS and name not in EVENT_KINDS else fields)[name] = typed
    return fields, context


if __name__ == "__main__":
    sys.exit(main())
