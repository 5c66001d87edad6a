"""Floor 4: one running node. Configuration, assembly, command line."""
