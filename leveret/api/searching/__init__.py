"""Search for messages in a queue, and act on the messages found."""
