"""Tests of pages for users: the files of a page are saved, and its commands are run in order."""
