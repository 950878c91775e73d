"""Which endpoint an operator means."""

import pytest

from bascule.contract import TcpAddress, UnixAddress
from bascule.control.lookup import MOST_LISTED, NotThere, find
from bascule.errors import BasculeError
from bascule.plan.found import FoundEndpoint

FOUND = {
    "site": (
        FoundEndpoint("10.0.0.1:8000", TcpAddress("10.0.0.1:8000"), 1, None),
        FoundEndpoint("blue", TcpAddress("[::1]:8000"), 1, None),
        FoundEndpoint("unix:/run/a/app.sock", UnixAddress("/run/a/app.sock"), 1, None),
        FoundEndpoint("one", TcpAddress("10.0.0.9:80"), 1, None),
        FoundEndpoint("other", TcpAddress("10.0.0.9:80"), 1, None),
    ),
    "empty": (),
}


def found(pool: str, endpoint: str) -> tuple[str, str]:
    return find(FOUND, FOUND, pool, endpoint)


@pytest.mark.parametrize(
    ("named", "endpoint"),
    [
        ("10.0.0.1:8000", "10.0.0.1:8000"),
        ("blue", "blue"),
        ("[::1]:8000", "blue"),
        ("unix:/run/a/app.sock", "unix:/run/a/app.sock"),
        ("one", "one"),
    ],
)
def test_an_endpoint_is_found_by_its_id_and_by_its_address(named: str, endpoint: str) -> None:
    assert found("site", named) == ("site", endpoint)


def test_an_address_of_several_endpoints_names_none_of_them() -> None:
    with pytest.raises(BasculeError, match="name one of them: one, other") as refused:
        found("site", "10.0.0.9:80")
    assert not isinstance(refused.value, NotThere)


def test_who_is_not_there_is_said_with_the_nearest_name_and_all_of_them() -> None:
    with pytest.raises(NotThere) as refused:
        found("site", "10.0.0.2:8000")
    assert str(refused.value) == (
        'pool site has no endpoint "10.0.0.2:8000"\n'
        '  did you mean "10.0.0.1:8000"?\n'
        "  its endpoints: 10.0.0.1:8000, blue, unix:/run/a/app.sock, one, other"
    )
    with pytest.raises(NotThere) as refused:
        found("sight", "blue")
    assert str(refused.value) == (
        'there is no pool "sight"\n  did you mean "site"?\n  the pools: site, empty'
    )
    with pytest.raises(NotThere, match="none has been found yet"):
        found("empty", "blue")


def test_of_very_many_endpoints_a_few_are_listed() -> None:
    many = tuple(FoundEndpoint(f"e{it}", TcpAddress(f"10.0.1.{it}:1"), 1, None) for it in range(100))
    with pytest.raises(NotThere, match=f", e{MOST_LISTED - 1} and {100 - MOST_LISTED} more$"):
        find({"site": many}, ["site"], "site", "none of them")
