"""Floor 1: what a broker is. Virtual hosts, exchanges, queues, consumers, messages; no bytes of methods, no sockets."""
