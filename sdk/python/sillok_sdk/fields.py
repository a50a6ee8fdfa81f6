"""Every field an event or its context may carry, with its type: the one table of this package.

The type checker reads the `TypedDict`s (through `**fields: Unpack[...]`), the run-time check reads the
same annotations. `None` stands for "not known" and is left out of what is sent; so is an id that stands for nobody.
A value of another type is made into what the field is (`fitting.py`), or left out: the event goes.

    Described ─┬─ CustomFields ── EventFields     what the event methods accept
               └─ ContextFields                   what `context` accepts
"""

# No `from __future__ import annotations` here: the annotations are read when the module is imported.
from collections.abc import Mapping as AnyMapping
from typing import Any, Callable, Dict, Mapping, Optional, Type, TypedDict, get_args, get_origin

from sillok_sdk.errors import FieldError
from sillok_sdk.fitting import fitted
from sillok_sdk.nobody import is_nobody, somebody

Text = Optional[str]
Integer = Optional[int]
Flag = Optional[bool]
Object = Optional[Mapping[str, Any]]


class Described(TypedDict, total=False):
    """The fields that an event, or the context of a whole batch, may carry."""

    session_id: Text
    anonymous_id: Text
    customer_id: Text
    page_url: Text
    referrer: Text

    utm_source: Text
    utm_medium: Text
    utm_campaign: Text
    utm_term: Text
    utm_content: Text
    ad_click_id: Text

    page_code: Text
    page_name: Text
    click_text: Text
    checkbox_name: Text
    checkbox_checked: Flag

    popup_name: Text
    click_name: Text
    tab_name: Text
    flow_name: Text
    step_position: Integer
    step_name: Text
    search_text: Text

    exit_menu: Text
    error_code: Text
    error_message: Text
    error_page: Text

    props: Object


class CustomFields(Described, total=False):
    """The keyword arguments of `Client.track`."""

    event_id: Text
    time: Integer
    context: Object


class EventFields(CustomFields, total=False):
    """The keyword arguments of every other event method."""

    event_name: Text


class ContextFields(Described, total=False):
    """The keys of `context`: the same for every event of a batch."""

    platform: Text
    app_name: Text
    app_version: Text
    os_name: Text
    os_version: Text
    device_model: Text
    screen_width: Integer
    screen_height: Integer
    language: Text
    timezone: Text
    network_type: Text

    # Of the request that is relayed; the collector honours them for write keys marked `server`.
    ip: Text
    user_agent: Text


Kinds = Mapping[str, Type[object]]


def _kinds(table: Any) -> Kinds:
    """Return the run-time class of each field: `Optional[Mapping[str, Any]]` becomes `dict`."""
    known = {name: get_args(kind)[0] for name, kind in table.__annotations__.items()}
    return {name: dict if get_origin(kind) is AnyMapping else kind for name, kind in known.items()}


EVENT_KINDS = _kinds(EventFields)
CONTEXT_KINDS = _kinds(ContextFields)

IDENTIFIERS = ("session_id", "anonymous_id", "customer_id")
# Told the place, the field, and why its value is left out.
LeaveOut = Callable[[str, str, str], None]

# The class that a value needs no second look with. Some need one always: for a value out of its bounds the collector
# would refuse the whole event.
_BOUNDED = ("event_id", "platform")
EVENT_CERTAIN = {name: kind for name, kind in EVENT_KINDS.items() if kind is not int and name not in _BOUNDED}


def checked(fields: Dict[str, Any], leave_out: LeaveOut, place: str) -> Dict[str, Any]:
    """Return an event's fields, each value of its kind, without what is unknown (`None`) or cannot be what it should.

    Raises `FieldError` for a name that is no field. The exact class is compared first: 0.04 µs a field, where
    `isinstance` alone would be twice that.
    """
    for name, value in fields.items():
        if type(value) is not EVENT_CERTAIN.get(name):
            fields = fitting(fields, EVENT_KINDS, leave_out, place)
            break
    known = fields.get
    if known("session_id") in somebody and known("customer_id") in somebody and known("anonymous_id") in somebody:
        return fields
    return _without_nobody(fields, leave_out, place)


def checked_context(fields: Mapping[str, Any], leave_out: LeaveOut) -> Dict[str, Any]:
    """Return the fields of a context, likewise."""
    return _without_nobody(fitting(fields, CONTEXT_KINDS, leave_out, "context"), leave_out, "context")


def fitting(fields: Mapping[str, Any], kinds: Kinds, leave_out: LeaveOut, place: str) -> Dict[str, Any]:
    """Return the fields with each value made into what the field is, or left out."""
    found: Dict[str, Any] = {}
    try:
        given = list(fields.items())
    except Exception as error:  # noqa: BLE001  likewise
        leave_out(place, place, f"raised {type(error).__name__}")
        return found
    for name, value in given:
        kind = kinds.get(name) if isinstance(name, str) else None
        if kind is None:
            raise FieldError(f"{place} has no field {name!r}{_suggestion(str(name), kinds)}")
        if value is None:
            continue
        try:
            found[name] = fitted(name, kind, value)
        except ValueError as error:
            leave_out(place, name, str(error))
        except Exception as error:  # noqa: BLE001  a caller's value may raise anything
            leave_out(place, name, f"raised {type(error).__name__}")
    return found


def _without_nobody(fields: Dict[str, Any], leave_out: LeaveOut, place: str) -> Dict[str, Any]:
    nobody = [name for name in IDENTIFIERS if name in fields and is_nobody(fields[name])]
    for name in nobody:
        leave_out(place, name, "stands for nobody")
    return {name: value for name, value in fields.items() if name not in nobody} if nobody else fields


def _suggestion(name: str, kinds: Kinds) -> str:
    import difflib  # noqa: PLC0415  only a mistake pays for it

    near = difflib.get_close_matches(name, kinds, n=1)
    return f": did you mean {near[0]!r}?" if near else ""
