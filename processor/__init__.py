"""raw → clean: enrich, remove duplicates, sessions, books."""
