"""The schedule: a thread that knows what time it is, and only posts messages."""
