"""A process that hosts a data plane and does nothing else, so that what it costs can be measured.

Reads a snapshot from standard input to its end, prints the address of the first bind, and waits to be ended.
`python measured_program.py`
"""

import signal
import sys

from bascule import contract
from bascule.contract import codec
from bascule.plane import embedded

if __name__ == "__main__":
    plane = embedded.start(contract.Settings(threads=1, seed=1))
    receipt = codec.decode(contract.Receipt, plane.apply(sys.stdin.buffer.read()))
    print(receipt.binds[0].address, flush=True)
    signal.pause()
