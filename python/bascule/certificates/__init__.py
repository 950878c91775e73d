"""Certificates: from files to what the data plane is given, kept fresh while the balancer runs."""
