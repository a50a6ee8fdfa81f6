"""Answers that are not 200, in one table: the error's code, its status, and what the client may do."""

from enum import Enum
from typing import Final

from msgspec import json


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


class Refused(Exception):
    """Raised on the way in; the handler turns it into the answer."""

    def __init__(
        self,
        refusal: Refusal,
        message: str,
        *,
        field: str | None = None,
        retry_after_s: float | None = None,
        allow: str = "POST, OPTIONS",
    ) -> None:
        super().__init__(message)
        self.refusal: Final = refusal
        self.field: Final = field
        self.retry_after_s: Final = retry_after_s
        self.allow: Final = allow

    def body(self) -> bytes:
        """Return the error body of the wire."""
        error: dict[str, object] = {
            "code": self.refusal.code,
            "message": str(self),
            "retryable": self.refusal.retryable,
        }
        if self.field is not None:
            error["field"] = self.field
        return json.encode({"error": error})
