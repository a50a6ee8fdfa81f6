"""What the SDK does for web frameworks by itself: one module for each, and one for `logging`."""
