"""What is read from /proc and from strace, and how it adds up."""

from bench import measure
from bench.idle import affordable
from bench.machine import shorten
from bench.measure import TICKS, Core, Spent
from bench.syscalls import parse_summary


def test_a_name_with_blanks_and_parentheses_does_not_shift_the_fields() -> None:
    line = "71 (a) b (c) S 7 71 71 0 -1 4194304 100 0 0 0 250 50 3 4 20 0 3 0 800 1 2"
    stat = measure.parse_stat(line)
    assert stat.parent == 7
    assert stat.spent == Spent(user=250 / TICKS, system=50 / TICKS)


def test_a_core_is_busy_with_all_but_idling_and_waiting() -> None:
    text = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 100 20 30 4000 500 6 7 8 9 9\nintr 1 2 3\n"
    assert measure.parse_cores(text) == (Core(busy=171 / TICKS, busy_for_foreground=151 / TICKS),)


def test_foreign_time_is_that_of_the_core_with_most_of_it() -> None:
    before = [Core(10.0, 10.0), Core(20.0, 20.0)]
    after = [Core(12.0, 12.0), Core(22.0, 21.0)]
    ours = {0: 1.5, 1: 0.9}
    assert round(measure.foreign_percent(before, after, ours, seconds=2.0)) == 25


def test_foreign_time_is_never_below_zero() -> None:
    cores = [Core(1.0, 1.0), Core(1.0, 1.0)]
    assert measure.foreign_percent(cores, cores, {0: 0.01, 1: 0.02}, seconds=1.0) == 0


def test_shared_memory_counts_by_its_share() -> None:
    text = "55d0-7ffd ---p 00000000 00:00 0  [rollup]\nRss:  9000 kB\nPss:     1234 kB\nPss_Dirty:  900 kB\n"
    assert measure.parse_shared_memory(text) == 1234 * 1024
    assert measure.parse_shared_memory("") == 0


def test_a_summary_of_strace_is_read_with_and_without_errors() -> None:
    text = """\
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 60.00    0.600000          10     60000           sendto
 40.00    0.400000          10     40000       123 recvfrom
------ ----------- ----------- --------- --------- ----------------
100.00    1.000000          10    100000       123 total
"""
    assert parse_summary(text) == {"sendto": 60000, "recvfrom": 40000}


def test_there_are_fewer_idle_connections_where_fewer_files_may_be_open() -> None:
    assert affordable(10_000, 65_536) == 10_000
    assert affordable(10_000, -1) == 10_000
    assert affordable(10_000, 20_000) == 9_500


def test_a_version_is_a_number_wherever_it_stands() -> None:
    assert shorten("nginx version: nginx/1.22.1") == "1.22.1"
    assert shorten("HAProxy version 2.6.12-1+deb12u4 2026/10/17 - https://haproxy.org/") == "2.6.12"
    assert shorten("unreadable") == "unreadable"
