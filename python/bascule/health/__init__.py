"""Whether endpoints can be sent work: checks are run, and their outcomes add up to verdicts."""
