"""`python -m bascule` is the same program as `bascule`."""

from bascule.cli import main

if __name__ == "__main__":
    main()
