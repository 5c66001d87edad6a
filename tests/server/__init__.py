"""Tests of sockets and the event loop, and of the control socket."""
