"""What a load report may look like, and what load it tells."""

import pytest
from tests.support.toy_endpoint import ToyEndpoint, http_endpoint, response

from bascule.health.check import CheckFailed, Target
from bascule.health.load import LOADS, MOST_PERMILLE, MOVED_PERMILLE, fetch_load, load_permille


@pytest.mark.parametrize(
    ("report", "permille"),
    [
        ('{"application_utilization": 0.7, "cpu_utilization": 0.5, "rps_fractional": 10}', 700),
        ('{"applicationUtilization": 0.7, "cpuUtilization": 0.5, "rpsFractional": 10}', 700),
        ('{"cpu_utilization": 0.5, "named_metrics": {"queue": 3}}', 500),
        ('{"application_utilization": 0, "cpu_utilization": 0.25}', 250),
        ('{"application_utilization": 0, "cpu_utilization": 0}', 0),
        ('{"cpuUtilization": "0.5"}', 500),
        (' \n{"cpu_utilization": 1.3}\n', 1300),
        ('JSON {"cpu_utilization": 0.0004}', 0),
        ('JSON {"cpu_utilization": 0.0006}', 1),
        ("application_utilization=0.7, cpu_utilization=0.5", 700),
        ("TEXT cpu_utilization=0.3,mem_utilization=0.8", 300),
        ("TEXT application_utilization:0.7", 700),
        ("cpu_utilization = 0.31\nnamed_metrics.kv-cache=0.9\n", 310),
        ("cpu_utilization=1e9", MOST_PERMILLE),
    ],
)
def test_a_load_is_told_in_thousandths(report: str, permille: int) -> None:
    assert load_permille(report) == permille


@pytest.mark.parametrize(
    ("report", "reason"),
    [
        ("", "it has neither application_utilization nor cpu_utilization"),
        ("{}", "it has neither"),
        ('{"mem_utilization": 0.5}', "it has neither"),
        ('{"cpu_utilization": true}', "cpu_utilization is True, wanted a number from 0"),
        ('{"cpu_utilization": null}', "wanted a number"),
        ('{"cpu_utilization": -0.5}', "wanted a number"),
        ('{"cpu_utilization": NaN}', "wanted a number"),
        ('{"cpu_utilization": 1e999}', "wanted a number"),
        ('{"cpu_utilization": ' + "9" * 400 + "}", "wanted a number"),
        ("cpu_utilization=much", "wanted a number"),
        ("{", "not JSON"),
        ("[" * 100_000, "name=value was wanted"),
        ("JSON [1]", "a JSON object was wanted"),
        ("JSON " + "[" * 100_000, "not JSON"),
        ("ok", "name=value was wanted, not 'ok'"),
        ("<html>it works</html>", "name=value was wanted"),
        ("BIN CgMxLjA=", "protobuf is not read here"),
    ],
)
def test_what_is_no_load_report_is_refused_with_a_reason(report: str, reason: str) -> None:
    with pytest.raises(ValueError) as refused:
        load_permille(report)
    assert reason in str(refused.value)


async def load_of(toy: ToyEndpoint) -> int:
    return await fetch_load("/load?deep=1", Target.of("site", toy.found()))


async def test_the_load_url_is_fetched_from_the_endpoint_itself() -> None:
    async with http_endpoint(response(200, b'{"cpu_utilization": 0.42}')) as toy:
        assert await load_of(toy) == 420
        assert toy.requests[0].startswith("GET /load?deep=1 HTTP/1.1\r\n")
        assert "\r\naccept: application/json, text/plain\r\n" in toy.requests[0].lower()


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (response(404, b"cpu_utilization=0.5"), "HTTP 404 from GET /load?deep=1, wanted a load report"),
        (response(200, b"hello"), "body of GET /load?deep=1 is no load report: name=value was wanted"),
        (b"SSH-2.0\r\n\r\n", "broken or cut-off answer"),
    ],
)
async def test_an_answer_without_a_load_has_failed(answer: bytes, reason: str) -> None:
    async with http_endpoint(answer) as toy:
        with pytest.raises(CheckFailed) as failed:
            await load_of(toy)
    assert reason in failed.value.reason


def test_a_load_counts_as_another_only_when_it_moved_by_more_than_one_percent() -> None:
    assert LOADS.heed(None, 500) == 500
    assert LOADS.heed(500, 500 + MOVED_PERMILLE) == 500
    assert LOADS.heed(500, 500 - MOVED_PERMILLE) == 500
    assert LOADS.heed(500, 500 + MOVED_PERMILLE + 1) == 511
