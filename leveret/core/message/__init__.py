"""Messages, their memory costs, and where they go."""
