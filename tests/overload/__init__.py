"""Overload: what one client asks for must not make the others wait."""
