"""Rates and quantiles between two readings."""

from bascule import contract
from bascule.clock import ManualClock
from bascule.contract import codec
from bascule.observe.rates import WINDOW_S, Readings, between, quantile


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


async def test_rates_forget_what_is_older_than_the_window() -> None:
    clock = ManualClock()
    readings = Readings(clock)
    for second in range(60):
        # A burst in the first second, silence after it.
        readings.keep(codec.encode(stats(0 if second == 0 else 1000)))
        await clock.advance(1.0)
    assert readings.rates(stats(1000))[("api", "a")].requests_per_s == 0


async def test_a_young_balancer_has_rates_over_its_whole_life() -> None:
    clock = ManualClock()
    readings = Readings(clock)
    readings.keep(codec.encode(stats(0)))
    await clock.advance(WINDOW_S / 5)
    assert readings.rates(stats(20))[("api", "a")].requests_per_s == 20 / (WINDOW_S / 5)
