"""Step 5 of a configuration's life: a snapshot becomes live. The only package that may import `_plane`."""
