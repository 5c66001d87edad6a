"""Base classes of connections and channels, and the mapping of refusals to reply codes."""
