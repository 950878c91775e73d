"""Steps 3 and 4 of the life of a configuration: model → plan → snapshot."""
