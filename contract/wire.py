"""The answers of the wire, as structs and one table: what `openapi.json` is generated from."""

from enum import Enum
from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType


class RejectedEvent(Struct, kw_only=True):
    """One event that was refused; its neighbours are accepted all the same."""

    index: Annotated[int, Meta(ge=0, description="Its place in the batch, from 0.")]
    code: Annotated[str, Meta(description="Why: one of `RejectCode`.")]
    field: Annotated[str, Meta(description="The path of what is wrong, never its value.")]
    message: str
    event_id: Annotated[str, Meta(description="When it had one that could be read.")] | UnsetType = UNSET


class Accepted(Struct, kw_only=True):
    """The accepted events are on disk: their bytes written and synced."""

    accepted: Annotated[int, Meta(ge=0)]
    rejected: list[RejectedEvent]
    receipt: Annotated[str, Meta(description="Where the batch lies in the spool, for people who look for it.")]


class Error(Struct, kw_only=True):
    """Why a request was refused."""

    code: str
    message: Annotated[str, Meta(description="What to do next; never a value from the request.")]
    retryable: Annotated[bool, Meta(description="The same bytes may be taken later.")]
    field: Annotated[str, Meta(description="The path of what is wrong.")] | UnsetType = UNSET


class ErrorBody(Struct, kw_only=True):
    """The body of every answer that is not 2xx."""

    error: Error


class Refusal(Enum):
    """Every error code of the wire: (code, status, retryable)."""

    NOT_JSON = ("not_json", 400, False)
    NO_EVENTS = ("no_events", 400, False)
    BROKEN_COMPRESSION = ("broken_compression", 400, False)
    BODY_CUT_SHORT = ("body_cut_short", 400, True)
    BAD_REQUEST = ("bad_request", 400, True)
    UNKNOWN_KEY = ("unknown_key", 401, True)
    ORIGIN_NOT_ALLOWED = ("origin_not_allowed", 403, True)
    KEY_NOT_ALLOWED_HERE = ("key_not_allowed_here", 403, True)
    NOT_FOUND = ("not_found", 404, False)
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405, False)
    BODY_TIMEOUT = ("body_timeout", 408, True)
    TOO_LARGE = ("too_large", 413, False)
    UNKNOWN_ENCODING = ("unknown_encoding", 415, True)
    OVER_RATE = ("over_rate", 429, True)
    TOO_MANY_REFUSED = ("too_many_refused", 429, True)
    INTERNAL = ("internal", 500, True)
    UNAVAILABLE = ("unavailable", 503, True)

    def __init__(self, code: str, status: int, retryable: bool) -> None:
        self.code = code
        self.status = status
        self.retryable = retryable
