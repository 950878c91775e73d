"""What runs: keeps what is live equal to what is wanted and what was found."""
