"""The same kind of configuration in Python: a pool for each tenant in a loop, and a check of our own.

bascule echo :9001-9004
bascule run examples/python/bascule.py
curl -H 'Host: blue.example.com' http://127.0.0.1:8080/
"""

import asyncio

import bascule
from bascule import AccessLog, Check, Config, Listener, Match, Pool, Respond, Route
from bascule.health.check import Target

TENANTS = {
    "blue": ["127.0.0.1:9001", "127.0.0.1:9002"],
    "green": ["127.0.0.1:9003", "127.0.0.1:9004"],
}


@bascule.check
async def is_alive(endpoint: Target) -> bool:
    """Passes when the endpoint speaks HTTP/1.1. An exception fails, and its text is the reason."""
    reader, writer = await endpoint.connect()
    try:
        writer.write(b"HEAD /healthz HTTP/1.1\r\nHost: check\r\nConnection: close\r\n\r\n")
        status = await asyncio.wait_for(reader.readline(), 1)
        return status.startswith(b"HTTP/1.1 200 ")
    finally:
        writer.transport.abort()


config = Config(
    listeners={
        "web": Listener(
            bind="127.0.0.1:8080",
            routes=[
                *(Route(match=Match(host=f"{tenant}.example.com"), pool=tenant) for tenant in TENANTS),
                Route(respond=Respond(status=404, body="no such tenant\n")),
            ],
        )
    },
    pools={
        tenant: Pool(endpoints=endpoints, check=Check(python=is_alive, every="1s", fall=2))
        for tenant, endpoints in TENANTS.items()
    },
    access_log=AccessLog(format="json"),
)
