"""A balancer in a process of its own, whose memory and CPU time are read from outside."""

import os
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.support.endpoints import ScriptedEndpoint
from tests.support.http2 import Http2Client
from tests.support.plane import listener, pool
from tests.support.processes import Program

from bascule import contract
from bascule.contract import codec

_HERE = Path(__file__).parent


class MeasuredPlane(Program):
    """A data plane with one thread, one listener and one pool of these endpoints."""

    def __init__(
        self,
        endpoints: Iterable[ScriptedEndpoint | contract.Endpoint | str],
        only: contract.Listener | None = None,
        **options: object,
    ) -> None:
        """`options` are those of `pool`."""
        snapshot = contract.Snapshot(
            contract=contract.CONTRACT_VERSION,
            generation=1,
            listeners=(only or listener(),),
            pools=(pool(*endpoints, **options),),  # type: ignore[arg-type]
            access_log=None,
        )
        super().__init__(
            [sys.executable, _HERE / "measured_program.py"], standard_input=codec.encode(snapshot)
        )

    @property
    def address(self) -> str:
        """Where it accepts."""
        return self.line(0)

    def connect_http2(self, **options: object) -> Http2Client:
        """A client connection that speaks HTTP/2. Options are those of `Http2Client`."""
        return Http2Client(self.address, **options)  # type: ignore[arg-type]

    def memory(self) -> int:
        """Resident bytes, now."""
        pages = Path(f"/proc/{self._process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def cpu(self) -> float:
        """Seconds that all its threads have computed so far, for themselves and in system calls."""
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/schedstat")
        return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9


class LargeEndpoint(Program):
    """An HTTP/1.1 endpoint in a process of its own; each response has so many bytes, but for `/canary`."""

    def __init__(self, size: int) -> None:
        super().__init__([sys.executable, _HERE / "large_endpoint_program.py", str(size)])

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.line()}"
