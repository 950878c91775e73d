"""What status and metrics say of certificates that are ordered."""

from bascule import contract
from bascule.acme.keeper import State
from bascule.acme.renewal import Record
from bascule.observe import orders, prometheus

NAMES = ("a.example", "b.example")
WAITING = State(NAMES, "https://ca.example/dir")
FAILED = State(
    NAMES,
    "https://ca.example/dir",
    record=Record(failures=2, failed_at=50.0, why="it says: no\n  do this", retry_at=60.0),
    due_at=60.0,
    failed=2,
)


def test_a_state_is_one_word_with_its_times() -> None:
    (waiting, failed) = orders.describe([WAITING, FAILED])
    assert (waiting["state"], waiting["expires_at"], waiting["next_order_at"]) == ("waiting", None, None)
    assert (failed["state"], failed["failures"], failed["failed_at"]) == ("failed", 2, 50)
    assert failed["last_failure"] == "it says: no\n  do this"


def test_a_failure_is_a_problem_of_one_line() -> None:
    (line,) = orders.problems([WAITING, FAILED], 55.0)
    assert line == (
        "the certificate for a.example, b.example was not issued (2 times): it says: no; do this; "
        "none is shown; next try on 1970-01-01 00:01 UTC"
    )


def test_metrics_have_one_sample_for_each_certificate() -> None:
    about = prometheus.About("1", True, 0, orders=orders.samples([FAILED]))
    page = prometheus.render(contract.Stats(generation=1), about)
    labels = '{name="a.example",names="2"}'
    for sample in (
        f"bascule_acme_next_order_timestamp_seconds{labels} 60",
        f"bascule_acme_orders_succeeded_total{labels} 0",
        f"bascule_acme_orders_failed_total{labels} 2",
        f"bascule_acme_order_failures{labels} 2",
    ):
        assert sample in page.splitlines()
