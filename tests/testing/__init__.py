"""The embedded broker and its pytest plugin."""
