"""Puts `tests` on the import path, so that tests can share what is in `tests/support`."""
