"""A request as people write it becomes the question about the listener that would get it."""

from dataclasses import replace

import pytest
from tests.contract.samples import SAMPLES

from bascule import contract
from bascule.errors import BasculeError
from bascule.plan.asked import Asked, question

_SAMPLE = SAMPLES["snapshot"]
assert isinstance(_SAMPLE, contract.Snapshot)
_WEB = _SAMPLE.listeners[0]


def listener(name: str, *addresses: str) -> contract.Listener:
    return replace(_WEB, id=name, binds=tuple(contract.TcpBind(it) for it in addresses))


PLAIN, SECURE = listener("plain", "[::]:80"), listener("secure", "[::]:443", "127.0.0.1:8443")
OTHER = listener("other", "127.0.0.1:9000")


def asked(url: str, *listeners: contract.Listener, **more: str) -> contract.Question:
    return question(Asked("GET", url, **more), listeners, {"secure"}, 1)  # type: ignore[arg-type]


def test_the_head_is_what_a_client_would_send() -> None:
    wanted = Asked("post", "http://a.example:80/x?y=1", ("Cookie: a=b", "X-Empty:"), None)
    told = question(wanted, [PLAIN], (), 7)
    assert told == contract.Question(
        "plain",
        "POST /x?y=1 HTTP/1.1\r\nHost: a.example:80\r\nCookie: a=b\r\nX-Empty: \r\n\r\n",
        None,
        7,
    )


def test_a_host_that_is_written_replaces_that_of_the_url() -> None:
    told = question(Asked("GET", "http://127.0.0.1/", ("host: b.example",)), [PLAIN], (), 1)
    assert told.head == "GET / HTTP/1.1\r\nhost: b.example\r\n\r\n"


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://a/", "plain"),
        ("https://a/", "secure"),
        ("https://a:8443/", "secure"),
        ("http://a:9000/", "other"),
    ],
)
def test_the_port_leads_to_the_listener(url: str, found: str) -> None:
    assert asked(url, PLAIN, SECURE, OTHER).listener == found


def test_without_the_usual_port_the_only_listener_of_the_scheme_gets_it() -> None:
    assert asked("http://a/", OTHER, SECURE).listener == "other"


@pytest.mark.parametrize(
    ("url", "listeners", "said"),
    [
        ("http://a:81/", (PLAIN,), "no listener accepts on port 81"),
        ("http://a/", (OTHER, listener("third", "127.0.0.1:9001")), "several listeners could get it"),
        ("https://a/", (OTHER,), "no listener speaks https"),
        ("a/b", (PLAIN,), "is not a URL"),
        ("ftp://a/", (PLAIN,), "is not a URL"),
        ("http://a:x/", (PLAIN,), "no port that can be"),
        ("http://a/b c", (PLAIN,), "no blanks"),
    ],
)
def test_what_leads_nowhere_says_why(url: str, listeners: tuple[contract.Listener, ...], said: str) -> None:
    with pytest.raises(BasculeError, match=said):
        asked(url, *listeners)


def test_a_header_without_a_colon_is_none() -> None:
    with pytest.raises(BasculeError, match="is not a header"):
        question(Asked("GET", "http://a/", ("Cookie",)), [PLAIN], (), 1)


def test_what_is_named_is_asked_wherever_the_url_leads() -> None:
    assert asked("http://a:1/", PLAIN, listener="secure").listener == "secure"
