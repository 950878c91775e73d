"""Which addresses the system would not let two listeners accept on."""

import pytest

from bascule.plan.binds import is_public, overlap


@pytest.mark.parametrize(
    ("one", "other", "clash"),
    [
        ("127.0.0.1:80", "127.0.0.1:80", True),
        ("127.0.0.1:80", "127.0.0.1:81", False),
        ("127.0.0.1:80", "127.0.0.2:80", False),
        ("0.0.0.0:80", "127.0.0.1:80", True),
        ("0.0.0.0:80", "[::1]:80", False),
        ("[::]:80", "127.0.0.1:80", True),
        ("[::]:80", "[::1]:80", True),
        ("[::]:80", "0.0.0.0:80", True),
        ("[::1]:80", "127.0.0.1:80", False),
        ("127.0.0.1:0", "127.0.0.1:0", False),
        ("unix:/a", "unix:/a", True),
        ("unix:/a", "unix:/b", False),
        ("unix:/a", "[::]:80", False),
    ],
)
def test_addresses_clash_when_one_covers_the_other(one: str, other: str, clash: bool) -> None:
    assert overlap(one, other) is overlap(other, one) is clash


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("127.0.0.1:1", False),
        ("127.9.9.9:1", False),
        ("[::1]:1", False),
        ("unix:/a", False),
        ("0.0.0.0:1", True),
        ("[::]:1", True),
        ("10.0.0.1:1", True),
    ],
)
def test_what_others_can_reach_is_public(address: str, public: bool) -> None:
    assert is_public(address) is public
