"""What the parts of a session know of its connection and of their channel, and how states change."""
