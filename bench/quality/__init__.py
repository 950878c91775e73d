"""How well balancers choose: latency, missed levels and errors on endpoints that slow down or fail."""
