"""The access log: one line for each exchange, whatever its values are and whatever becomes of the file."""

import contextlib
import json
import os
import re
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from tests.support.endpoints import OK, ScriptedEndpoint, Step, play
from tests.support.eventually import eventually
from tests.support.places import closed_port
from tests.support.plane import RunningPlane, listener, pool
from tests.support.processes import HostedPlane
from tests.support.raw import RawClient, request
from tests.support.routes import own

from bascule import contract
from bascule.contract import codec
from bascule.plane.plane import SnapshotRefused

COMBINED = re.compile(
    rb'(?P<client>[0-9a-f.:-]+) - - \[(?P<time>[^\]]+)\] "(?P<method>[!-~]+) (?P<target>[^ ]*) HTTP/1\.[01]" '
    rb'(?P<status>\d{1,3}) (?P<sent>\d+) "(?P<referer>(?:[^"\\]|\\.)*)" "(?P<agent>(?:[^"\\]|\\.)*)" '
    rb"(?P<endpoint>\S+) (?P<ending>[a-z_]+) (?P<timers>\d+/\d+/\d+/\d+/\d+)"
)
"""Apache's combined format, then the endpoint, the ending and HAProxy's timers."""


def to(path: Path, format: Literal["json", "combined"] = "json") -> contract.AccessLog:
    return contract.AccessLog(format, str(path))


def lines(path: Path, count: int) -> list[bytes]:
    """The lines of the log, once there are `count`; each must be whole."""

    def there() -> list[bytes]:
        return path.read_bytes().splitlines(keepends=True) if path.exists() else []

    eventually(lambda: len(there()) >= count, there)
    assert len(there()) == count
    assert all(line.endswith(b"\n") for line in there())
    return [line.rstrip(b"\n") for line in there()]


def records(path: Path, count: int) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(path, count)]


def ask(plane: RunningPlane, count: int, status: int = 204) -> None:
    with plane.connect() as client:
        for _ in range(count):
            assert client.ask(request()).status == status


def test_a_json_line_tells_the_whole_exchange(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with (
        ScriptedEndpoint() as endpoint,
        RunningPlane([pool(endpoint)], access_log=to(path)) as plane,
        plane.connect() as client,
    ):
        began = datetime.now(UTC)
        sent = request("POST", "/a/../b?c=d", "User-Agent: test/1", "Referer: http://r.test/", body=b"hello")
        assert client.ask(sent).status == 200
        (line,) = records(path, 1)
        assert list(line) == [
            *(
                "time",
                "client",
                "listener",
                "route",
                "pool",
                "endpoint",
                "method",
                "host",
                "target",
                "protocol",
            ),
            *("ending", "status", "received_bytes", "sent_bytes", "attempts"),
            *("request_ms", "queue_ms", "connect_ms", "response_ms", "total_ms", "user_agent", "referer"),
        ]
        assert (line["client"], line["listener"], line["route"]) == ("127.0.0.1", "web", "all")
        assert (line["pool"], line["endpoint"], line["attempts"]) == ("site", endpoint.name, 1)
        assert (line["method"], line["host"], line["target"]) == ("POST", "bascule.test", "/a/../b?c=d")
        assert (line["protocol"], line["status"], line["ending"]) == ("HTTP/1.1", 200, "ok")
        assert (line["received_bytes"], line["sent_bytes"]) == (len(sent), len(client.stream.received))
        assert (line["user_agent"], line["referer"]) == ("test/1", "http://r.test/")
        parts = [line[f"{part}_ms"] for part in ("request", "queue", "connect", "response")]
        assert all(part >= 0 for part in parts)
        assert sum(parts) <= line["total_ms"] + 0.01
        took = datetime.fromisoformat(line["time"]) - began
        assert -0.1 <= took.total_seconds() <= 10


def test_a_combined_line_is_one_that_log_analysers_read(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with (
        ScriptedEndpoint() as endpoint,
        RunningPlane([pool(endpoint)], access_log=to(path, "combined")) as plane,
    ):
        assert plane.ask(request("GET", "/x?y", "User-Agent: test/1")).status == 200
        found = COMBINED.fullmatch(lines(path, 1)[0])
        assert found is not None
        assert (found["client"], found["method"], found["target"]) == (b"127.0.0.1", b"GET", b"/x?y")
        assert (found["status"], found["referer"], found["agent"]) == (b"200", b"-", b"test/1")
        assert (found["endpoint"], found["ending"]) == (endpoint.name.encode(), b"ok")
        datetime.strptime(found["time"].decode(), "%d/%b/%Y:%H:%M:%S %z")


def test_a_request_that_was_refused_is_written_down_with_the_reason(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with RunningPlane([], [listener(own(204))], access_log=to(path)) as plane:
        assert plane.ask(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").status == 400
        (line,) = records(path, 1)
        assert (line["status"], line["ending"], line["endpoint"]) == (400, "bad_request", "")
        assert "exactly one Host" in line["reason"]


def test_a_try_that_failed_is_in_the_line_of_its_request(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    with (
        closed_port() as refusing,
        ScriptedEndpoint() as good,
        RunningPlane([pool(refusing, good, panic_percent=0)], access_log=to(path)) as plane,
    ):
        for _ in range(2):
            assert plane.ask(request()).status == 200
        attempts = {line["attempts"]: line["endpoint"] for line in records(path, 2)}
        # Whether the first request met the refusal depends on where the turns begin; one of the two did.
        assert attempts[2] == good.name
        assert set(attempts.values()) == {good.name}


HOSTILE = [
    b'quote " and \\ and "}',
    b"\\",
    b"tab\there",
    b"raw \xff\xfe bytes \x80",
    "line\u2028separator \u0085next".encode(),
    b"<script>alert(1)</script>",
    b"%0d%0aSet-Cookie: x=y",
    b"'; DROP TABLE logs; --",
    b"\xe2\x80\xae reversed",
]


@pytest.mark.parametrize("format", ["json", "combined"])
def test_no_value_breaks_out_of_its_line(tmp_path: Path, format: Literal["json", "combined"]) -> None:
    path = tmp_path / "access.log"
    with (
        RunningPlane([], [listener(own(204))], access_log=to(path, format)) as plane,
        plane.connect() as client,
    ):
        for value in HOSTILE:
            # What a target cannot hold is refused before it is logged; the rest of it goes in here.
            target = bytes(byte for byte in value if 0x21 <= byte <= 0x7E and byte not in b'\\#%?"')
            head = b"GET /" + target + b" HTTP/1.1\r\nHost: h\r\nUser-Agent: " + value + b"\r\nReferer: "
            assert client.ask(head + value + b"\r\n\r\n").status == 204
        written = lines(path, len(HOSTILE))
        for line, value in zip(written, HOSTILE, strict=True):
            assert not any(byte < 0x20 or byte == 0x7F for byte in line)
            line.decode()
            if format == "combined":
                assert COMBINED.fullmatch(line), line
            elif value.isascii():
                assert json.loads(line)["user_agent"] == value.decode()
            else:
                json.loads(line)


@pytest.mark.parametrize("format", ["json", "combined"])
def test_what_authorises_a_client_is_never_written_down(
    tmp_path: Path, format: Literal["json", "combined"]
) -> None:
    path = tmp_path / "access.log"
    with RunningPlane([], [listener(own(204))], access_log=to(path, format)) as plane:
        secrets = ("Authorization: Basic c2VjcmV0", "Cookie: id=c2VjcmV0", "Proxy-Authorization: c2VjcmV0")
        assert plane.ask(request("GET", "/", *secrets)).status == 204
        assert b"c2VjcmV0" not in lines(path, 1)[0]


def test_after_a_rotation_lines_go_to_the_new_file_and_none_is_lost(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    with RunningPlane([], [listener(own(204))], access_log=to(path)) as plane:
        ask(plane, 30)
        lines(path, 30)
        path.rename(old)
        ask(plane, 10)
        lines(old, 40)
        plane.plane.reopen_logs()
        ask(plane, 20)
        lines(path, 20)
        assert len(lines(old, 40)) == 40


def test_lines_are_added_to_a_log_that_is_there_already(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("from yesterday\n")
    with RunningPlane([], [listener(own(204))], access_log=to(path)) as plane:
        ask(plane, 1)
        assert lines(path, 2)[0] == b"from yesterday"


def test_a_reload_turns_the_log_on_and_off_and_moves_it(tmp_path: Path) -> None:
    first, second = tmp_path / "1.log", tmp_path / "2.log"
    wanted: Sequence[contract.Listener] = [listener(own(204))]
    with RunningPlane([], wanted) as plane:
        ask(plane, 3)
        plane.apply([], wanted, access_log=to(first))
        ask(plane, 4)
        lines(first, 4)
        plane.apply([], wanted, access_log=to(second, "combined"))
        ask(plane, 5)
        assert all(COMBINED.fullmatch(line) for line in lines(second, 5))
        plane.apply([], wanted)
        ask(plane, 6)
        plane.stop()
        plane.wait_event("stopped")
        assert (len(lines(first, 4)), len(lines(second, 5))) == (4, 5)


def test_lines_of_the_old_log_do_not_land_in_the_new_one(tmp_path: Path) -> None:
    first, second = tmp_path / "1.log", tmp_path / "2.log"
    wanted: Sequence[contract.Listener] = [listener(own(204))]
    with RunningPlane([], wanted, access_log=to(first)) as plane:
        ask(plane, 5)
        plane.apply([], wanted, access_log=to(second, "combined"))
        ask(plane, 5)
        plane.stop(None)
        plane.wait_event("stopped")
        assert [len(lines(path, 5)) for path in (first, second)] == [5, 5]
        assert all(COMBINED.fullmatch(line) for line in lines(second, 5))


def test_lines_on_standard_output_come_though_python_is_stuck() -> None:
    snapshot = contract.Snapshot(
        contract=contract.CONTRACT_VERSION,
        generation=1,
        listeners=(listener(own(204)),),
        pools=(),
        access_log=contract.AccessLog("json", None),
    )
    with HostedPlane(codec.encode(snapshot), stuck_for=30) as hosted, RawClient(hosted.address) as client:
        assert client.ask(request()).status == 204
        assert json.loads(hosted.line(1))["status"] == 204


def test_a_full_disk_is_told_once_and_costs_no_request(tmp_path: Path) -> None:
    wanted = [listener(own(204))]
    with RunningPlane([], wanted, access_log=to(Path("/dev/full"))) as plane:
        ask(plane, 50)
        event = plane.wait_event("log_failed").what
        assert event.kind == "log_failed"
        assert "No space left" in event.reason
        ask(plane, 500)
        assert plane.endings(550) == {"answered": 550}
        path = tmp_path / "access.log"
        plane.apply([], wanted, access_log=to(path))
        ask(plane, 7)
        # Some that waited in a batch when the log moved may come as well.
        eventually(lambda: path.read_bytes().count(b"\n") >= 7, "the new file gets its lines")
        failures = [one for one in plane.events if one.what.kind == "log_failed"]
        assert len(failures) == 1


def test_a_file_that_cannot_be_opened_again_is_told_and_the_old_one_is_kept(tmp_path: Path) -> None:
    folder, moved = tmp_path / "logs", tmp_path / "moved"
    folder.mkdir()
    with RunningPlane([], [listener(own(204))], access_log=to(folder / "access.log")) as plane:
        ask(plane, 1)
        lines(folder / "access.log", 1)
        folder.rename(moved)
        plane.plane.reopen_logs()
        event = plane.wait_event("log_failed").what
        assert event.kind == "log_failed"
        ask(plane, 1)
        lines(moved / "access.log", 2)


class StuckReader:
    """A pipe as the log's file, opened for reading but not read: the kernel's buffer fills up."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def close(self) -> None:
        os.close(self._descriptor)


def test_a_log_that_nobody_reads_costs_no_request(tmp_path: Path) -> None:
    reader = StuckReader(tmp_path / "pipe")
    with RunningPlane([], [listener(own(204))], access_log=to(reader.path)) as plane:
        # More than the 64 KiB that a pipe holds.
        ask(plane, 1_000)
        assert plane.endings(1_000) == {"answered": 1_000}
        reader.close()


def test_a_log_that_nobody_reads_does_not_hold_up_the_end(tmp_path: Path) -> None:
    reader = StuckReader(tmp_path / "pipe")
    with RunningPlane([], [listener(own(204))], access_log=to(reader.path)) as plane:
        ask(plane, 1_000)
        plane.stop(0)
        # Set free in any case, so that a failure does not hang.
        threading.Timer(8.0, reader.close).start()
        plane.wait_event("stopped", patience=6.0)


def test_a_pipe_without_a_reader_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = threading.Event()

    def start() -> None:
        with contextlib.suppress(SnapshotRefused):
            RunningPlane([], [listener(own(204))], access_log=to(tmp_path / "pipe")).stop()
        done.set()

    threading.Thread(target=start, daemon=True).start()
    came_back = done.wait(3.0)
    if not came_back:
        os.close(os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK))
    assert came_back, "the snapshot is neither applied nor refused"


def test_an_exchange_that_was_aborted_has_a_line(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    go = threading.Event()
    with (
        ScriptedEndpoint(play(Step.READ, go, OK)) as endpoint,
        RunningPlane([pool(endpoint)], access_log=to(path)) as plane,
        plane.connect() as client,
    ):
        client.send(request())
        endpoint.wait_requests(1)
        client.reset()
        (line,) = records(path, 1)
        assert (line["status"], line["ending"], line["endpoint"]) == (0, "client_aborted", endpoint.name)
        go.set()
