"""One client connection, from handshake to end."""
