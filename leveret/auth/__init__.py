"""Floor 2: authentication of clients."""
