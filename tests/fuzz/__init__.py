"""Whatever the bytes: what the decoder and the reader may do with them, and nothing else."""
