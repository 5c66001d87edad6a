"""Soak: a mixed load on one broker for a long time, which must lose nothing and not grow."""
