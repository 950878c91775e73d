"""Which certificates are ordered."""

import pytest

from bascule.config.effective import portable
from bascule.config.model import Config
from bascule.plan.acme import plan_acme

ROUTES = [
    {"match": {"host": ["a.example", "localhost", "192.0.2.1"]}, "respond": "a"},
    {"match": {"host": "b.example"}, "respond": "b"},
    {"match": {"host": "a.example", "path": "/x"}, "respond": "c"},
    {"respond": "d"},
]


def config_of(acme: object) -> Config:
    return Config.model_validate(
        {
            "acme": {"terms_agreed": True, "storage": "/store"},
            "listeners": {"secure": {"bind": ":443", "routes": ROUTES, "tls": {"acme": acme}}},
        }
    )


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("on", [("a.example",), ("b.example",)]),
        (True, [("a.example",), ("b.example",)]),
        (["on", "c.example", "a.example"], [("a.example",), ("b.example",), ("c.example",)]),
        (["on", ["a.example", "c.example"]], [("a.example",), ("b.example",), ("a.example", "c.example")]),
        ("c.example", [("c.example",)]),
    ],
)
def test_on_is_a_certificate_for_each_host_of_the_routes(
    written: object, wanted: list[tuple[str, ...]]
) -> None:
    config = config_of(written)
    planned = plan_acme(config)
    assert planned is not None and list(planned.orders) == wanted
    again = Config.model_validate(portable(config, defaults=True))
    assert plan_acme(again) == planned
