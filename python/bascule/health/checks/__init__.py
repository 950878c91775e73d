"""The checks that ship, one file each; `bascule.health.registry` lists them."""
