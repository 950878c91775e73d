"""Numbers and lines for people and their monitoring."""
