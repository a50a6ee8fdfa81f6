"""The fields as TypeScript types, for the browser SDK: a wrong field is a compile error in the app that uses it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, get_args

from contract.click_ids import CLICK_ID_NAMES
from contract.event import EVENT_TYPES, Platform

# The SDK gives these itself.
_ITS_OWN: Final = frozenset({"client_id"})
_TYPES: Final = {"string": "string", "integer": "number", "boolean": "boolean", "object": "{ [name: string]: unknown }"}


def module(note: str, fields: Mapping[str, Any]) -> str:
    """Return the module's text; `fields` are the properties of the JSON Schema of `Fields`."""
    return "\n".join(_lines(note, fields)) + "\n"


def _lines(note: str, fields: Mapping[str, Any]) -> Iterator[str]:
    yield f"// {note}"
    yield ""
    yield f"export type EventType = {_either(EVENT_TYPES)};"
    yield ""
    yield f"export type Platform = {_either(get_args(Platform))};"
    yield ""
    yield "/** What an event may say, under the names of the tables' columns. */"
    yield "export interface Fields {"
    for name, field in fields.items():
        if name in _ITS_OWN:
            continue
        yield f"  /** {field['title']}: {field['description']}{_limit(field)} */"
        yield f"  {name}?: {_type(name, field)};"
    yield "}"
    yield ""
    yield "/** Names that advertising systems give a click in a page's address, as alternatives of an expression. */"
    yield f'export const CLICK_IDS = "{"|".join(CLICK_ID_NAMES)}";'


def _either(words: tuple[str, ...]) -> str:
    return " | ".join(f'"{word}"' for word in words)


def _type(name: str, field: Mapping[str, Any]) -> str:
    return "Platform" if name == "platform" else _TYPES[_given(field)["type"]]


def _limit(field: Mapping[str, Any]) -> str:
    length = _given(field).get("maxLength")
    return f" At most {length} characters." if length else ""


def _given(field: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the alternative to null."""
    return next(alternative for alternative in field["anyOf"] if alternative.get("type") != "null")
