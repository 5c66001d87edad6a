"""Monitors: each looks at one thing now and then, and tells the broker what it needs to know of it."""
