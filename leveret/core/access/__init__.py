"""Users, permissions and limits."""
