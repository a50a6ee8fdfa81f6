"""HTTP in, durable on disk, then the answer."""
