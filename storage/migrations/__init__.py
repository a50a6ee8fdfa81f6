"""Numbered migrations, read by `storage.migrate`."""
