"""Configuration templates, and the page that a run becomes."""

from pathlib import Path

import pytest
from bench.pages import replaced
from bench.peers import CONFIGS, TARGETS, Target, render
from bench.wanted import Load, Wanted, addresses


def test_each_endpoint_has_a_line_as_indented_as_the_mark() -> None:
    nginx = next(it for it in TARGETS if it.name == "nginx")
    text = render("a {\n  @ENDPOINTS@\n}\n", nginx, Wanted(endpoints=addresses(2)), Path("/scratch"))
    assert text == "a {\n  server 127.0.0.1:19601;\n  server 127.0.0.1:19602;\n}\n"


@pytest.mark.parametrize("target", [it for it in TARGETS if it.config], ids=lambda it: it.name)
@pytest.mark.parametrize("tls", [False, True])
def test_no_mark_is_left_in_a_configuration(target: Target, tls: bool) -> None:
    text = render((CONFIGS / target.config).read_text(), target, Wanted(tls=tls), Path("/scratch"))
    assert "@PORT@" not in text
    assert not [line for line in text.splitlines() if line.count("@") >= 2]
    assert ("certificate.pem" in text or "both.pem" in text) == tls


@pytest.mark.parametrize("target", [it for it in TARGETS if it.tcp_config], ids=lambda it: it.name)
def test_no_mark_is_left_where_connections_are_carried_as_they_are(target: Target) -> None:
    text = render((CONFIGS / target.tcp_config).read_text(), target, Wanted(tcp=True), Path("/scratch"))
    assert not [line for line in text.splitlines() if line.count("@") >= 2]
    assert target.tcp in text


def test_the_origin_has_a_thousand_addresses_and_no_more() -> None:
    assert len(set(addresses(1000))) == 1000
    with pytest.raises(ValueError, match="1000 addresses, not 1001"):
        addresses(1001)


def test_a_load_with_fresh_connections_says_so() -> None:
    assert "-k" in Load(fresh=True).arguments()
    assert "-k" not in Load().arguments()


def test_results_are_replaced_and_nothing_else() -> None:
    document = "before\n<!-- results -->\nold\n<!-- /results -->\nafter\n"
    assert replaced(document, "new") == "before\n<!-- results -->\n\nnew\n\n<!-- /results -->\nafter\n"


def test_a_document_without_a_place_for_results_is_refused() -> None:
    with pytest.raises(ValueError, match="no place"):
        replaced("<!-- /results -->", "new")
