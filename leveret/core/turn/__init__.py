"""Time, background work, and the work at the end of a turn of the event loop."""
