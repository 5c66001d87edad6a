"""Backup, check and repair of data directories: rarely run, and therefore not compiled."""
