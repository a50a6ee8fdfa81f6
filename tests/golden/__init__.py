"""Segments as released versions wrote them; never written anew.

`0.1.sealed` was written by version 0.1 (format 1), `0.1.json` says what it holds: every newer version reads the same.
"""
