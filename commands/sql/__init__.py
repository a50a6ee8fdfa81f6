"""What commands ask the database, one statement a file."""
