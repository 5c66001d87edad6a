"""Monitors: each checks one resource periodically and notifies the broker."""
