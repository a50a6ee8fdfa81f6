"""SQL of the processor, one statement a file."""
