"""Sillok for Python: make behaviour events, send them, account for every one of them.

    with Client("https://collect.example.com", "wk_…") as sillok:
        sillok.page_view(page_code="M0301", page_name="현재가")

An event method raises `FieldError` for a misspelt field or a wrong type, and nothing else.
"""

from sillok_sdk.client import Client
from sillok_sdk.errors import FieldError, SettingError, SillokError
from sillok_sdk.version import __version__

__all__ = ["Client", "FieldError", "SettingError", "SillokError", "__version__"]
