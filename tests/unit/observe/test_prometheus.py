"""The metrics page, letter by letter: dashboards and alerts are written against it."""

import re

from bascule import contract
from bascule.observe.prometheus import BOUNDS_US, About, render

ABOUT = About(version="0.1.0", reload_ok=True, reloaded_at=1_700_000_000)


def series(**changes: object) -> contract.Series:
    values: dict[str, object] = {
        "listener": "web",
        "route": "api",
        "pool": "api",
        "endpoint": "10.0.0.1:8000",
        "codes": (),
        "endings": (),
        "received_bytes": 0,
        "sent_bytes": 0,
        "duration": contract.Histogram(),
        "response": contract.Histogram(),
    }
    return contract.Series(**{**values, **changes})  # type: ignore[arg-type]


def lines_of(name: str, stats: contract.Stats) -> list[str]:
    page = render(stats, ABOUT).splitlines()
    return [line for line in page if re.match(rf"(# (HELP|TYPE) )?bascule_{name}\b", line)]


def test_a_balancer_without_traffic_says_what_it_is() -> None:
    page = render(contract.Stats(generation=7, draining=(5, 6)), ABOUT)
    assert page.startswith(
        "# HELP bascule_build_info Always 1; the labels tell the version.\n"
        "# TYPE bascule_build_info gauge\n"
        'bascule_build_info{version="0.1.0",contract="1"} 1\n'
        "# HELP bascule_generation Number of the live snapshot of the configuration.\n"
        "# TYPE bascule_generation gauge\n"
        "bascule_generation 7\n"
        "# HELP bascule_draining_generations Older generations that still have exchanges in flight.\n"
        "# TYPE bascule_draining_generations gauge\n"
        "bascule_draining_generations 2\n"
        "# HELP bascule_config_last_reload_successful 1 when the configuration that was offered last is live,"
        " 0 when it was refused.\n"
        "# TYPE bascule_config_last_reload_successful gauge\n"
        "bascule_config_last_reload_successful 1\n"
        "# HELP bascule_config_last_reload_success_timestamp_seconds Unix time at which a configuration last"
        " became live.\n"
        "# TYPE bascule_config_last_reload_success_timestamp_seconds gauge\n"
        "bascule_config_last_reload_success_timestamp_seconds 1700000000\n"
    )
    assert page.endswith("\n")


def test_exchanges_are_counted_by_status_and_by_ending() -> None:
    stats = contract.Stats(
        series=(
            series(
                codes=(contract.CodeCount(200, 3), contract.CodeCount(502, 1)),
                endings=(contract.EndingCount("ok", 3), contract.EndingCount("endpoint_refused", 1)),
            ),
            series(route="", pool=None, endpoint=None, codes=(contract.CodeCount(404, 9),)),
        )
    )
    where = 'listener="web",route="api",pool="api",endpoint="10.0.0.1:8000"'
    assert lines_of("requests_total", stats) == [
        "# HELP bascule_requests_total Exchanges by the status sent to the client; 0 when none was sent.",
        "# TYPE bascule_requests_total counter",
        f'bascule_requests_total{{{where},code="200"}} 3',
        f'bascule_requests_total{{{where},code="502"}} 1',
        'bascule_requests_total{listener="web",route="",pool="",endpoint="",code="404"} 9',
    ]
    assert lines_of("exchanges_ended_total", stats)[2:] == [
        f'bascule_exchanges_ended_total{{{where},ending="ok"}} 3',
        f'bascule_exchanges_ended_total{{{where},ending="endpoint_refused"}} 1',
    ]


def test_calls_are_counted_by_their_status_beside_that_of_http() -> None:
    stats = contract.Stats(series=(series(grpc_codes=(contract.CodeCount(0, 5), contract.CodeCount(14, 2))),))
    where = 'listener="web",route="api",pool="api",endpoint="10.0.0.1:8000"'
    assert lines_of("grpc_calls_total", stats)[2:] == [
        f'bascule_grpc_calls_total{{{where},grpc_status="0"}} 5',
        f'bascule_grpc_calls_total{{{where},grpc_status="14"}} 2',
    ]


def test_a_histogram_is_cumulative_and_its_bounds_are_powers_of_two() -> None:
    buckets = (
        contract.Bucket(upper_us=56, count=1),
        contract.Bucket(upper_us=80, count=2),
        contract.Bucket(upper_us=128, count=4),
        contract.Bucket(upper_us=1 << 30, count=8),
    )
    duration = contract.Histogram(count=15, sum_us=9_007_199_254_740_993, buckets=buckets)
    lines = [
        line
        for line in render(contract.Stats(series=(series(duration=duration),)), ABOUT).splitlines()
        if line.startswith("bascule_request_duration_seconds")
    ]
    where = 'listener="web",route="api",pool="api",endpoint="10.0.0.1:8000"'
    bucket = f"bascule_request_duration_seconds_bucket{{{where},le="
    assert lines[:3] == [f'{bucket}"0.000064"}} 1', f'{bucket}"0.000128"}} 7', f'{bucket}"0.000256"}} 7']
    assert lines[20:] == [
        f'{bucket}"67.108864"}} 7',
        f'{bucket}"+Inf"}} 15',
        f"bascule_request_duration_seconds_sum{{{where}}} 9007199254.740993",
        f"bascule_request_duration_seconds_count{{{where}}} 15",
    ]
    assert BOUNDS_US[0] == 64 and BOUNDS_US[-1] == 67_108_864


def test_whole_seconds_keep_a_digit_after_the_point() -> None:
    histogram = contract.Histogram(count=1, sum_us=2_000_000, buckets=(contract.Bucket(1 << 21, 1),))
    page = render(contract.Stats(series=(series(response=histogram),)), ABOUT)
    assert 'le="1.048576"} 0' in page
    assert 'le="2.097152"} 1' in page
    assert re.search(r"bascule_response_seconds_sum\{.*\} 2\.000000\n", page)


def test_what_an_endpoint_does_now_is_labelled_with_its_pool() -> None:
    endpoint = contract.EndpointStats(
        pool="api",
        endpoint="10.0.0.1:8000",
        up=False,
        draining=True,
        weight=3,
        in_flight=4,
        picked=5,
        connects=6,
        connect_failures=7,
        retried=8,
        idle=9,
        maintenance=True,
        ejected=True,
        ejections=10,
        failures=11,
        limit=12,
        pace_us=1_500,
    )
    page = render(contract.Stats(endpoints=(endpoint,)), ABOUT)
    values = re.findall(
        r'^bascule_endpoint_(\w+)\{pool="api",endpoint="10\.0\.0\.1:8000"\} ([\d.]+)$', page, re.M
    )
    assert values == [
        ("up", "0"),
        ("draining", "1"),
        ("maintenance", "1"),
        ("ejected", "1"),
        ("weight", "3"),
        ("in_flight", "4"),
        ("limit", "12"),
        ("pace_seconds", "0.001500"),
        ("idle_connections", "9"),
        ("picked_total", "5"),
        ("failures_total", "11"),
        ("ejections_total", "10"),
        ("connects_total", "6"),
        ("connect_failures_total", "7"),
        ("retries_total", "8"),
    ]


def test_what_an_endpoint_does_not_have_is_absent() -> None:
    endpoint = contract.EndpointStats("api", "a", True, False, 1, 0, 0, 0, 0, 0, 0)
    page = render(contract.Stats(endpoints=(endpoint,)), ABOUT)
    assert "# TYPE bascule_endpoint_limit gauge\n" in page
    assert "bascule_endpoint_limit{" not in page
    assert "bascule_endpoint_pace_seconds{" not in page


def test_what_the_requests_of_a_pool_met_is_counted() -> None:
    pool = contract.PoolStats(
        "api",
        waiting=1,
        queued=2,
        shed=3,
        overloaded=True,
        hedged=4,
        hedges_won=5,
        retries_denied=6,
        sessions_kept=7,
        sessions_moved=8,
        sessions_refused=9,
        sessions_remembered=10,
        mirrored=11,
    )
    page = render(contract.Stats(pools=(pool,)), ABOUT)
    assert re.findall(r'^bascule_(\w+)\{pool="api"\} (\d+)$', page, re.M) == [
        ("queue_depth", "1"),
        ("queued_total", "2"),
        ("shed_total", "3"),
        ("pool_overloaded", "1"),
        ("hedged_total", "4"),
        ("hedges_won_total", "5"),
        ("retries_denied_total", "6"),
        ("sessions_kept_total", "7"),
        ("sessions_moved_total", "8"),
        ("sessions_refused_total", "9"),
        ("sessions_remembered", "10"),
        ("mirrored_total", "11"),
    ]


def test_a_listener_tells_its_connections() -> None:
    listener = contract.ListenerStats(
        "web",
        accepted=10,
        open=2,
        requests=30,
        in_flight=1,
        tunnels=1,
        flows=6,
        handshakes=9,
        resumed=4,
        failed_handshakes=(contract.FailedHandshakes("closed", 3),),
        refused_proxy_headers=5,
    )
    page = render(contract.Stats(listeners=(listener,)), ABOUT)
    values = re.findall(r'^bascule_listener_(\w+)\{listener="web"\} (\d+)$', page, re.M)
    assert values == [
        ("connections", "2"),
        ("accepted_total", "10"),
        ("requests_total", "30"),
        ("in_flight", "1"),
        ("tunnels", "1"),
        ("flows", "6"),
        ("tls_handshakes_total", "9"),
        ("tls_resumed_total", "4"),
        ("proxy_headers_refused_total", "5"),
    ]
    assert 'bascule_listener_tls_failed_total{listener="web",reason="closed"} 3' in page.splitlines()


def test_a_listener_that_carries_datagrams_tells_what_became_of_them() -> None:
    dropped = (contract.DroppedDatagrams("late", 2), contract.DroppedDatagrams("no_route", 1))
    listeners = (
        contract.ListenerStats("dns", datagrams=contract.Datagrams(9, 7, dropped)),
        contract.ListenerStats("web"),
    )
    page = render(contract.Stats(listeners=listeners), ABOUT)
    assert [line for line in page.splitlines() if line.startswith("bascule_listener_datagrams")] == [
        'bascule_listener_datagrams_received_total{listener="dns"} 9',
        'bascule_listener_datagrams_sent_total{listener="dns"} 7',
        'bascule_listener_datagrams_dropped_total{listener="dns",reason="late"} 2',
        'bascule_listener_datagrams_dropped_total{listener="dns",reason="no_route"} 1',
    ]


def test_names_cannot_break_out_of_a_label() -> None:
    stats = contract.Stats(listeners=(contract.ListenerStats('a"b\\c\nd'),))
    assert 'bascule_listener_connections{listener="a\\"b\\\\c\\nd"} 0' in render(stats, ABOUT).splitlines()


def test_flows_tell_their_endings_and_what_they_carried() -> None:
    flows = contract.FlowSeries(
        listener="db",
        route="db/0",
        pool="db",
        endpoint="10.0.0.1:5432",
        endings=(contract.EndingCount("ok", 3), contract.EndingCount("endpoint_down", 1)),
        received_bytes=10,
        sent_bytes=20,
        duration=contract.Histogram(4, 2_000_000, (contract.Bucket(1 << 20, 4),)),
        connect=contract.Histogram(4, 400, (contract.Bucket(128, 4),)),
    )
    page = render(contract.Stats(flows=(flows,)), ABOUT)
    where = 'listener="db",route="db/0",pool="db",endpoint="10.0.0.1:5432"'
    for line in (
        f'bascule_flows_total{{{where},ending="ok"}} 3',
        f'bascule_flows_total{{{where},ending="endpoint_down"}} 1',
        f"bascule_flow_received_bytes_total{{{where}}} 10",
        f"bascule_flow_sent_bytes_total{{{where}}} 20",
        f"bascule_flow_duration_seconds_sum{{{where}}} 2.000000",
        f'bascule_flow_connect_seconds_bucket{{{where},le="0.000128"}} 4',
    ):
        assert line in page.splitlines()
