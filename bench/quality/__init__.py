"""How well balancers choose: latency, missed service levels and errors on endpoints that fail or slow down."""
