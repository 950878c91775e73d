"""A process that hosts a data plane and then keeps Python busy, as a stuck control plane would.

Reads a snapshot from standard input to its end, prints the address of the first bind, and holds the
interpreter's lock for SECONDS without a pause. `python plane_program.py SECONDS [DESCRIPTORS]`
"""

import resource
import sys
import time

from bascule import contract
from bascule.contract import codec
from bascule.plane import embedded


def hold_the_lock(seconds: float) -> None:
    """No other Python thread runs until this returns."""
    sys.setswitchinterval(3600)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        pass


if __name__ == "__main__":
    if len(sys.argv) > 2:
        resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[2])))
    plane = embedded.start(contract.Settings(threads=1, seed=1))
    receipt = codec.decode(contract.Receipt, plane.apply(sys.stdin.buffer.read()))
    print(receipt.binds[0].address, flush=True)
    hold_the_lock(float(sys.argv[1]))
    print("free", flush=True)
    plane.stop(0)
