"""Servers of grpcio with the health service that grpcio itself ships."""

from collections.abc import Iterator, Mapping
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from tests.support.certificates import Issued

from bascule.contract import TcpAddress
from bascule.plan.found import FoundEndpoint

NONE: Mapping[str, int] = {}
SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


@dataclass(frozen=True)
class Serving:
    """A server, its health service, and where it listens."""

    health: Any
    address: str

    def found(self, name: str | None = None) -> FoundEndpoint:
        """As a source would report it."""
        return FoundEndpoint("toy", TcpAddress(self.address), 1, name)

    def says(self, status: Any, service: str = "") -> None:
        """From now on, whoever asks about `service` is told this."""
        self.health.set(service, status)


@contextmanager
def serving(
    *handlers: grpc.GenericRpcHandler,
    secured: Issued | None = None,
    healthy: bool = True,
    options: Mapping[str, int] = NONE,
) -> Iterator[Serving]:
    """A server on a free port. `options` are grpcio's, `grpc.` left off."""
    with futures.ThreadPoolExecutor(32) as pool:
        settings = [("grpc.so_reuseport", 0), *((f"grpc.{name}", value) for name, value in options.items())]
        server = grpc.server(pool, handlers=list(handlers), options=settings)
        servicer = health.HealthServicer()
        if healthy:
            health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        if secured is None:
            port = server.add_insecure_port("127.0.0.1:0")
        else:
            pair = (secured.key_pem.encode(), secured.chain.encode())
            port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
        server.start()
        try:
            yield Serving(servicer, f"127.0.0.1:{port}")
        finally:
            server.stop(0).wait()
