"""What the admin API serves: one file for what may be seen, one for what may be changed."""
