"""Floor 3: administration. Verbs on users, virtual hosts, policies; definitions files."""
