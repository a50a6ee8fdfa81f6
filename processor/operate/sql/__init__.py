"""SQL of the operators' commands, one statement a file."""
