"""Floor 3: sockets, the event loop and the real clock around the sans-IO floors."""
