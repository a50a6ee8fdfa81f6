"""SQL of the loader, one statement a file."""
