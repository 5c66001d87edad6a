"""Tests of the auth floor: passwords and logins."""
