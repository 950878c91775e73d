"""What Bascule costs, next to nginx, HAProxy and Envoy: `bench/run.py`, explained in README.md."""
