"""Rates and quantiles between two readings."""

from bascule import contract
from bascule.clock import ManualClock
from bascule.observe.rates import WINDOW_S, Readings, between, quantile, shed_between


def stats(ok: int, failed: int = 0, buckets: tuple[tuple[int, int], ...] = ()) -> contract.Stats:
    histogram = contract.Histogram(
        count=sum(count for _, count in buckets),
        sum_us=0,
        buckets=tuple(contract.Bucket(upper, count) for upper, count in buckets),
    )
    return contract.Stats(
        series=(
            contract.Series(
                listener="web",
                route="r",
                pool="api",
                endpoint="a",
                codes=(contract.CodeCount(200, ok), contract.CodeCount(503, failed)),
                endings=(),
                received_bytes=0,
                sent_bytes=0,
                duration=histogram,
                response=contract.Histogram(),
            ),
        )
    )


def test_a_rate_is_what_was_added_per_second() -> None:
    rates = between(stats(100, 10), stats(150, 15), 10.0)[("api", "a")]
    assert (rates.requests_per_s, rates.errors_per_s) == (5.5, 0.5)


def test_quantiles_look_only_at_what_was_added() -> None:
    before = stats(1, buckets=((64, 1_000_000),))
    after = stats(2, buckets=((64, 1_000_000), (1280, 100)))
    rates = between(before, after, 1.0)[("api", "a")]
    assert rates.p50_us == 1280 - 256 // 2


def test_an_endpoint_that_came_back_with_fresh_counters_has_no_negative_rate() -> None:
    rates = between(stats(1000, buckets=((64, 9),)), stats(3, buckets=((64, 3),)), 1.0)[("api", "a")]
    assert (rates.requests_per_s, rates.p50_us) == (0, None)


def test_a_quantile_lies_within_its_bucket() -> None:
    counts = {80: 50, 96: 49, 1 << 20: 1}
    assert quantile(counts, 0.50) == 80
    assert quantile(counts, 0.99) == 96
    median_of_one_bucket = quantile({80: 2}, 0.5)
    assert median_of_one_bucket == 72


def test_there_is_no_quantile_of_nothing() -> None:
    assert quantile({}, 0.5) is None


async def test_rates_begin_one_window_ago() -> None:
    clock = ManualClock()
    readings = Readings(clock)
    for _ in range(60):
        readings.keep(str(clock.now()).encode())
        await clock.advance(1.0)
    assert readings.oldest() == (clock.now() - WINDOW_S - 1, b"49.0")


async def test_rates_of_a_young_balancer_begin_with_its_life() -> None:
    clock = ManualClock()
    readings = Readings(clock)
    assert readings.oldest() is None
    readings.keep(b"first")
    await clock.advance(WINDOW_S / 2)
    readings.keep(b"second")
    assert readings.oldest() == (0.0, b"first")


def test_what_a_pool_sheds_is_told_per_second() -> None:
    before = contract.Stats(pools=(contract.PoolStats("site", shed=10), contract.PoolStats("gone", shed=99)))
    after = contract.Stats(pools=(contract.PoolStats("site", shed=15), contract.PoolStats("new", shed=4)))
    assert shed_between(before, after, 2.0) == {"site": 2.5, "new": 2.0}
    assert shed_between(before, after, 0.0) == {}
    assert shed_between(after, before, 2.0)["site"] == 0, "it left and came back"
