"""Bascule's side of the benchmark: one thread, and every default that is not listed here.

The benchmark says what it wants in the environment: BENCH_WANTED is JSON of `bench.wanted.Wanted`, and
BENCH_FOLDER is where scratch files go. A check that finds the file `block` there holds the interpreter's
lock for as many seconds as the file says: nothing in Python runs then, the event loop least of all.
"""

import ctypes
import json
import os
from pathlib import Path

import bascule
from bascule import AccessLog, Check, Config, Listener, Match, Pool, Route
from bascule.health.check import Target

WANTED = json.loads(os.environ["BENCH_WANTED"])
FOLDER = Path(os.environ["BENCH_FOLDER"])


@bascule.check
async def block_when_asked(endpoint: Target) -> bool:
    """Passes always. Leaves the file `blocked` before it blocks, and `free` after."""
    order = FOLDER / "block"
    if order.exists():
        seconds = int(order.read_text())
        order.unlink()
        (FOLDER / "blocked").touch()
        # PyDLL, unlike CDLL, keeps the lock during the call; and sleeping takes no CPU from the data plane.
        ctypes.PyDLL(None).sleep(seconds)
        (FOLDER / "free").touch()
    return True


def match(number: int) -> Match:
    """What route `number` takes: everything, unless there are many."""
    matches = {"host": Match(host=f"h{number}.test"), "path": Match(path=f"/p{number}/")}
    return matches.get(WANTED["routes_by"], Match())


def listener() -> Listener:
    """Where clients come in, by HTTP or as they are."""
    bind = f"127.0.0.1:{WANTED['port']}"
    if WANTED["udp"]:
        udp = {} if WANTED["responses"] is None else {"responses": WANTED["responses"]}
        return Listener(bind=bind, protocol="udp", udp=udp, pool="origin")
    if WANTED["tcp"]:
        return Listener(bind=bind, protocol="tcp", pool="origin")
    return Listener(
        bind=bind,
        **({"tls": {"certificates": [WANTED["tls"]]}} if WANTED["tls"] else {}),
        routes=[
            Route(name=f"r{number}", match=match(number), pool="origin") for number in range(WANTED["routes"])
        ],
    )


config = Config(
    threads=1,
    listeners={"clients": listener()},
    pools={
        "origin": Pool(
            algorithm=WANTED["algorithm"],
            endpoints=WANTED["endpoints"],
            **({"check": Check(python=block_when_asked, every="200ms")} if WANTED["blockable"] else {}),
        )
    },
    access_log=AccessLog(format="combined", path=WANTED["access_log"]) if WANTED["access_log"] else "off",
)
