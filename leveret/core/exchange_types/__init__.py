"""Exchange types, and the other things that exchanges do with messages."""
