"""Addresses as people type them."""

import pytest

from bascule.cli.addresses import binds, endpoints, listener
from bascule.cli.exits import UsageWrong


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (":9001", ["127.0.0.1:9001"]),
        (":9001-9003", ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003"]),
        ("localhost:9001", ["localhost:9001"]),
        ("app-1.internal:80", ["app-1.internal:80"]),
        ("10.0.0.1:80", ["10.0.0.1:80"]),
        ("[::1]:80-81", ["[::1]:80", "[::1]:81"]),
        ("unix:/run/app.sock", ["unix:/run/app.sock"]),
    ],
)
def test_what_to_names_is_on_this_machine_unless_it_says_otherwise(text: str, written: list[str]) -> None:
    assert endpoints(text) == written


@pytest.mark.parametrize(
    ("text", "written"), [(":8080", ":8080"), ("127.0.0.1:0", "127.0.0.1:0"), ("unix:/a", "unix:/a")]
)
def test_a_listener_without_a_host_accepts_on_all_addresses(text: str, written: str) -> None:
    assert listener(text) == written


def test_toy_endpoints_stay_on_this_machine() -> None:
    assert binds(":9001-9002") == [("127.0.0.1", 9001), ("127.0.0.1", 9002)]
    assert binds("[::1]:0") == [("::1", 0)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":",
        "9001",
        "foo",
        "foo:",
        ":x",
        ":65536",
        ":3-1",
        ":1-60000",
        "http://a:1",
        "a b:1",
        "::1:80",
        ":٩",
    ],
)
def test_what_is_no_address_is_a_wrong_usage(text: str) -> None:
    with pytest.raises(UsageWrong):
        endpoints(text)


def test_an_endpoint_has_a_port_and_a_listener_only_one() -> None:
    with pytest.raises(UsageWrong, match="no port 0"):
        endpoints(":0")
    with pytest.raises(UsageWrong, match="one port"):
        listener(":80-81")
