"""How a request is refused on the way in: an exception that becomes the answer of the wire's table."""

from typing import Final

from msgspec import json

from contract.wire import Refusal

__all__ = ["Refusal", "Refused"]


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
