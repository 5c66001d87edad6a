"""Floor 2: who a client is."""
