"""One client connection: its handshake, its life, its end."""
