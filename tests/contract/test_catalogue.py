"""What configurations become fits what the data plane says of itself."""

from pathlib import Path

import pytest

from bascule import contract
from bascule.config.load import Text
from bascule.config.model import CertificateTest, Match, Pool
from bascule.config.parse import parse
from bascule.contract import codec
from bascule.plan.build import build
from bascule.plan.options import misfits
from bascule.plan.routing import plan_matchers
from bascule.plane import _plane

EVERY_PART = {"subject": {"regex": "^CN=a"}, "dns": "a.test", "uri": True, "fingerprint": False}
GOLDEN = Path(__file__).parents[1] / "golden" / "config" / "good_every_match_and_action.golden"


@pytest.fixture(scope="module")
def catalog() -> contract.Catalog:
    return codec.decode(contract.Catalog, _plane.catalog())


def test_every_matcher_of_a_plan_fits_its_schema(catalog: contract.Catalog) -> None:
    schemas = {entry.name: entry.options for entry in catalog.matchers}
    plan = build(parse(Text.of(GOLDEN.read_text().partition("-" * 80)[0], "bascule.yaml", {})), catalog)
    matchers = [matcher for route in plan.listeners[0].routes for matcher in route.matchers]
    # Who is asked for certificates has files of authorities, which stand elsewhere.
    matchers += plan_matchers(CertificateTest.model_validate(EVERY_PART))
    assert {matcher.name for matcher in matchers} == schemas.keys()
    for matcher in matchers:
        assert list(misfits(dict(matcher.options), schemas[matcher.name])) == []


def test_every_matcher_has_a_key_or_can_be_reached(catalog: contract.Catalog) -> None:
    assert {entry.name for entry in catalog.matchers} <= Match.model_fields.keys() | {"others"}


def test_the_default_algorithm_is_in_the_catalogue(catalog: contract.Catalog) -> None:
    default = Pool.model_fields["algorithm"].default.name
    assert default in {entry.name for entry in catalog.algorithms}
