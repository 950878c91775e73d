"""Where endpoints come from: sources are run, and what they report is kept until they report better."""
