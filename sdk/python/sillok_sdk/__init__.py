"""Sillok for Python: make behaviour events, send them, account for every one of them.

    with Client("https://collect.example.com", "wk_…") as sillok:
        sillok.page_view(page_code="M0301", page_name="현재가")

An event method raises `FieldError` for a misspelt field, and nothing else.
"""

from typing import TYPE_CHECKING

from sillok_sdk.client import Client
from sillok_sdk.errors import FieldError, SettingError, SillokError
from sillok_sdk.version import __version__

if TYPE_CHECKING:
    from sillok_sdk.asynchronous import AsyncClient

__all__ = ["AsyncClient", "Client", "FieldError", "SettingError", "SillokError", "__version__"]


def __getattr__(name: str) -> object:
    """Import what only asyncio programs need when it is asked for: it costs tens of milliseconds."""
    if name == "AsyncClient":
        from sillok_sdk.asynchronous import AsyncClient  # noqa: PLC0415

        return AsyncClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
