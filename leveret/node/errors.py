"""Why a node does not start."""


class StartError(Exception):
    """The node cannot start; the text names what is in the way and says what to do."""
