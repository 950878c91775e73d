"""Files that list endpoints: three forms, and what is wrong with the others."""

from itertools import pairwise

import pytest

from bascule.discovery.endpoint_file import EndpointFileRefused, read_endpoints


def ids(text: str, path: str = "endpoints") -> list[tuple[str, int]]:
    found = [it for written in read_endpoints(text, path) for it in written.found_at(("10.9.9.9",))]
    return [(it.id, it.weight) for it in found]


@pytest.mark.parametrize(
    "text",
    [
        '["10.0.0.1:80", {"address": "10.0.0.2:80", "weight": 3}]',
        "- 10.0.0.1:80\n- {address: 10.0.0.2:80, weight: 3}\n",
        "# written by hand\n\n- 10.0.0.1:80\n- address: 10.0.0.2:80\n  weight: 3\n",
        "10.0.0.1:80\n10.0.0.2:80 weight=3  # the big one\n",
        "10.0.0.1:80\n\n  10.0.0.2:80 weight=3",
    ],
    ids=["json", "yaml", "yaml with comments", "lines", "lines without an end"],
)
def test_the_same_endpoints_in_every_form(text: str) -> None:
    assert ids(text) == [("10.0.0.1:80", 1), ("10.0.0.2:80", 3)]


@pytest.mark.parametrize(
    "text",
    [
        '[{"address": "10.0.0.1:80", "tier": 1, "zone": "eu-1", "limit": 9}]',
        "- {address: 10.0.0.1:80, tier: 1, zone: eu-1, limit: 9}\n",
        "10.0.0.1:80 tier=1 zone=eu-1 limit=9\n",
    ],
    ids=["json", "yaml", "lines"],
)
def test_every_form_tells_tiers_zones_and_limits(text: str) -> None:
    (endpoint,) = read_endpoints(text, "endpoints")[0].found_at(())
    assert (endpoint.tier, endpoint.zone, endpoint.limit) == (1, "eu-1", 9)


def test_an_address_in_brackets_is_not_taken_for_a_list() -> None:
    assert ids("[::1]:80\n[::2]:80 id=two\n") == [("[::1]:80", 1), ("two", 1)]


def test_an_empty_list_means_no_endpoints() -> None:
    assert ids("[]") == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "endpoints: is empty; write [] if there are to be no endpoints"),
        (" \n# nothing yet\n", "endpoints: is empty; write [] if there are to be no endpoints"),
        ("10.0.0.1:80\n10.0.0.2\n", "endpoints:2: '10.0.0.2' has no port; write 10.0.0.2:80"),
        ("10.0.0.1:80 heavy\n", "endpoints:1: expected weight=… or id=… after 10.0.0.1:80, not 'heavy'"),
        ("10.0.0.1:80 weight=x\n", "endpoints:1: weight of 10.0.0.1:80 must be 1 to 65535, not 'x'"),
        ("- 10.0.0.1:80\n-\n  - 10.0.0.2:80\n", "endpoints:3: expected an endpoint, not a list"),
        ("- 10.0.0.1:80\n- {address: 10.0.0.2:80\n", "endpoints:3:1: is not YAML: "),
        ("{address: 10.0.0.1:80}", "endpoints: expected a list of endpoints"),
        ("- &a [*a]\n", "endpoints:1: expected an endpoint, not"),
        (
            "- &a [x]\n" + "".join(f"- &{b} [{f'*{a},' * 9}]\n" for a, b in pairwise("abcdefghijkl")),
            "endpoints:1: ",
        ),
        ("[" * 500, "endpoints: "),
    ],
)
def test_what_is_wrong_is_said_with_its_place(text: str, said: str) -> None:
    with pytest.raises(EndpointFileRefused) as refused:
        read_endpoints(text, "endpoints")
    assert str(refused.value).startswith(said)


def test_json_is_called_json_when_the_file_is_named_so() -> None:
    with pytest.raises(EndpointFileRefused, match=r"^a\.json:1:16: is not JSON: Expecting ',' delimiter$"):
        read_endpoints('["10.0.0.1:80" ', "a.json")
