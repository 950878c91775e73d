"""What is read from what wrk and h2load print."""

import pytest
from bench.encrypted import parse_h2load, parse_wrk
from bench.load import Failed

WRK = """Running 2s test @ https://127.0.0.1:18110/
  1 threads and 64 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     3.76ms    4.43ms  47.85ms   87.10%
  Latency Distribution
     50%    1.76ms
     75%    4.54ms
     90%    9.36ms
     99%   23.25ms
  26267 requests in 2.01s, 31.44MB read
  Socket errors: connect 0, read 2, write 0, timeout 1
  Non-2xx or 3xx responses: 4
Requests/sec:  13068.71
Transfer/sec:     15.64MB
"""
H2LOAD = """TLS Protocol: TLSv1.3
Application protocol: h2

finished in 2.05s, 10313.00 req/s, 11.01MB/s
requests: 20626 total, 21138 started, 20626 done, 20620 succeeded, 6 failed, 6 errored, 0 timeout
status codes: 20620 2xx, 0 3xx, 0 4xx, 6 5xx
traffic: 22.02MB (23089152) total, 805.70KB (825040) headers (space savings 71.83%), 20.14MB (21121024) data
"""


def test_wrk_counts_requests_and_every_kind_of_error() -> None:
    found = parse_wrk(WRK)
    assert (found["requests"], found["errors"]) == (26267, 7)
    assert found["seconds"] == pytest.approx(2.01)
    assert found["p50_us"] == pytest.approx(1760)
    assert found["p99_us"] == pytest.approx(23250)
    assert found["bytes"] == pytest.approx(31.44 * 2**20)


def test_h2load_counts_what_succeeded() -> None:
    found = parse_h2load(H2LOAD)
    assert (found["requests"], found["errors"], found["bytes"]) == (20620, 6, 23089152)


@pytest.mark.parametrize(
    "text", ["", H2LOAD.replace("Application protocol: h2", "Application protocol: http/1.1")]
)
def test_what_was_not_http_2_is_no_figure(text: str) -> None:
    with pytest.raises(Failed, match="h2load said"):
        parse_h2load(text)
