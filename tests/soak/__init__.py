"""The load of the day: a whole installation for half an hour, with a fault every minute."""
