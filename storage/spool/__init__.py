"""The spool: an append-only log of segments that turns a 200 into a promise."""
