"""Messages, what they weigh, and where they go."""
