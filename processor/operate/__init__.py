"""What operators do with events afterwards: look for them, try them again, remove them; each in the books."""
