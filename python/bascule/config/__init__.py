"""Steps 1 and 2 of the life of a configuration: file → text → typed model."""
