"""The browser SDK in a real Chromium, against the real collector, loader, processor and database."""
