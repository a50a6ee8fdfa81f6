"""What is durable: the spool, the database, and the way from one to the other."""
