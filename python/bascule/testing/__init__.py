"""Tests of a configuration without sockets: what would become of which request.

With pytest, the fixture `balancer` is a `Rehearsal` of the project's configuration:

    def test_the_cart_is_served_by_the_shop(balancer):
        assert balancer.route("GET https://shop.example/cart").pool == "shop"

Without, `bascule test FILE` reads what is expected from a YAML file.
"""

from bascule.testing.rehearsal import Outcome, Rehearsal

__all__ = ["Outcome", "Rehearsal"]
