"""Floor 1: the broker model. Virtual hosts, exchanges, queues, consumers, messages; no method encoding, no sockets."""
