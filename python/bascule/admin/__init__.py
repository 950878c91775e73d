"""Where operators and their programs ask a running balancer."""
