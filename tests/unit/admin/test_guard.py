"""Which requests the admin API serves, by who seems to be asking."""

import pytest

from bascule.admin.guard import refusal


@pytest.mark.parametrize(
    "host", ["127.0.0.1:9000", "localhost:9000", "LOCALHOST", "[::1]:9000", "[::1]", "10.1.2.3"]
)
def test_a_host_that_no_name_server_can_forge_is_served(host: str) -> None:
    assert refusal(host, None, over_unix=False) is None


@pytest.mark.parametrize(
    "host",
    [
        None,
        "",
        "evil.example:9000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.1@evil.example",
        "evil.example#127.0.0.1",
        "127.0.0.1:x",
        "[::1",
        "127.0.0.1/evil",
        "2130706433.example",
    ],
)
def test_a_name_is_not_served_because_it_may_have_been_rebound(host: str | None) -> None:
    assert refusal(host, None, over_unix=False) is not None


def test_a_page_that_we_served_ourselves_may_ask() -> None:
    assert refusal("127.0.0.1:9000", "http://127.0.0.1:9000", over_unix=False) is None


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://127.0.0.1:9001", "http://localhost:9000"]
)
def test_a_page_of_another_origin_may_not_ask(origin: str) -> None:
    assert refusal("127.0.0.1:9000", origin, over_unix=False) is not None


def test_no_page_reaches_a_unix_socket() -> None:
    assert refusal("anything", None, over_unix=True) is None
    assert refusal("anything", "http://anything", over_unix=True) is not None
