"""Traffic from outside, as a customer's apps would send it: HTTP in, through the Python SDK."""
