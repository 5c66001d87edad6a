"""Crash tests: a broker is killed, or its disk loses what was not synced, and nothing confirmed may be missing."""
