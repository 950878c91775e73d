"""Endpoints and traffic for trying things out: not for production, and not needed there."""
