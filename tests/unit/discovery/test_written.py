"""Endpoints as people write them."""

import pytest

from bascule.contract import TcpAddress, UnixAddress
from bascule.discovery.written import Place, Written, WrittenRefused, read_address, read_endpoint


@pytest.mark.parametrize(
    ("written", "where"),
    [
        ("10.0.0.1:8000", TcpAddress("10.0.0.1:8000")),
        ("[::1]:8000", TcpAddress("[::1]:8000")),
        ("[0:0:0:0:0:0:0:1]:8000", TcpAddress("[::1]:8000")),
        ("unix:/run/app.sock", UnixAddress("/run/app.sock")),
        ("App.Internal.:8000", Place("app.internal", 8000)),
        ("localhost:65535", Place("localhost", 65535)),
        ("_http._tcp.app:80", Place("_http._tcp.app", 80)),
    ],
)
def test_an_address_has_one_spelling(written: str, where: object) -> None:
    assert read_address(written) == where


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("10.0.0.1", "'10.0.0.1' has no port\n  write 10.0.0.1:80"),
        ("[::1]", "'[::1]' has no port\n  write [::1]:80"),
        ("::1:8000", "IPv6 address in '::1:8000' needs brackets\n  write [::1]:8000"),
        ("10.0.0.1:0", "port of '10.0.0.1:0' must be 1 to 65535, not '0'"),
        ("10.0.0.1:65536", "port of '10.0.0.1:65536' must be 1 to 65535, not '65536'"),
        ("10.0.0.1:http", "port of '10.0.0.1:http' must be 1 to 65535, not 'http'"),
        ("10.0.0.256:80", "'10.0.0.256' in '10.0.0.256:80' is neither an address nor a name"),
        ("[fe80::1%eth0]:80", "is an address of one link only"),
        (":80", "'' in ':80' is neither an address nor a name"),
        ("a..b:80", "'a..b' in 'a..b:80' is neither an address nor a name"),
        ("http://a:80", "'http://a' in 'http://a:80' is neither an address nor a name"),
        ("a" * 5000 + "!:80", "is neither an address nor a name"),
        ("unix:app.sock", "'unix:app.sock' needs an absolute path"),
    ],
)
def test_a_wrong_address_is_refused_with_how_to_write_it(written: str, said: str) -> None:
    with pytest.raises(WrittenRefused) as refused:
        read_address(written)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (8000, "expected an endpoint, not 8000"),
        ({"weight": 2}, "an endpoint needs an address"),
        ({"address": "10.0.0.1:80", "wieght": 2}, "an endpoint has no wieght"),
        ({"address": "10.0.0.1:80", "weight": 0}, "weight of 10.0.0.1:80 must be 1 to 65535, not 0"),
        ({"address": "10.0.0.1:80", "weight": True}, "must be 1 to 65535, not True"),
        ({"address": "10.0.0.1:80", "id": ""}, "id of 10.0.0.1:80 must be a text"),
        ({"address": "10.0.0.1:80", "tier": -1}, "tier of 10.0.0.1:80 must be 0 to 100, not -1"),
        ({"address": "10.0.0.1:80", "zone": 5}, "zone of 10.0.0.1:80 must be a text, not 5"),
        ({"address": "10.0.0.1:80", "limit": 0}, "limit of 10.0.0.1:80 must be a number of requests from 1"),
    ],
)
def test_a_wrong_entry_is_refused(entry: object, said: str) -> None:
    with pytest.raises(WrittenRefused, match=said):
        read_endpoint(entry)


def test_the_id_is_the_address_unless_the_writer_gave_one() -> None:
    plain = read_endpoint("[0::1]:80").found_at(())
    named = read_endpoint({"address": "10.0.0.1:80", "id": "blue", "weight": 3}).found_at(())
    assert [(it.id, it.weight, it.host) for it in (*plain, *named)] == [
        ("[::1]:80", 1, None),
        ("blue", 3, None),
    ]


def test_a_name_stands_for_each_of_its_addresses_and_their_ids_do_not_depend_on_how_many_there_are() -> None:
    written = Written(Place("app.internal", 80), 2, "blue", tier=1, zone="eu-1", limit=9)
    one = written.found_at(("10.0.0.1",))
    two = written.found_at(("10.0.0.1", "::2"))
    assert [(it.id, it.host, it.weight) for it in two] == [
        ("blue@10.0.0.1:80", "app.internal", 2),
        ("blue@[::2]:80", "app.internal", 2),
    ]
    assert two[:1] == one
    assert {(it.tier, it.zone, it.limit) for it in two} == {(1, "eu-1", 9)}
