"""The sources that ship, one file each; `bascule.discovery.registry` lists them."""
