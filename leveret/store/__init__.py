"""Floor 2: storage of messages and definitions."""
