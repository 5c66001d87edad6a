"""Floor 2: one client. Its connection and channels, from bytes to verbs of the core and back."""
