"""A balancer before servers of gRPC, as it is set up: the health service takes them out and back."""

from pathlib import Path
from typing import Any

import grpc
from tests.support.certificates import Authority
from tests.support.grpc_servers import NOT_SERVING, SERVING, serving
from tests.support.program import Bascule

CONFIG = """\
listeners: {{web: {{bind: "127.0.0.1:0", pool: calls}}}}
pools:
  calls:
    endpoints: [{endpoints}]
    protocol: h2c
    algorithm: round_robin
    check: {{grpc: shop.Cart, every: 30ms, timeout: 10s}}
"""


class Named(grpc.GenericRpcHandler):  # type: ignore[misc]
    """Answers every call with its name."""

    def __init__(self, name: bytes) -> None:
        self.name = name

    def service(self, details: Any) -> Any:
        if not details.method.startswith("/shop.Cart/"):
            return None
        return grpc.unary_unary_rpc_method_handler(lambda _, __: self.name)


def test_a_server_that_says_not_serving_gets_no_calls_until_it_serves_again(folder: Path) -> None:
    with serving(Named(b"one")) as one, serving(Named(b"two")) as two:
        for server in (one, two):
            server.says(SERVING, "shop.Cart")
        config = CONFIG.format(endpoints=f"{one.address}, {two.address}")
        (folder / "bascule.yaml").write_text(config)
        with Bascule(folder, "run") as running:
            with grpc.insecure_channel(running.ready().address()) as channel:
                ask = channel.unary_unary("/shop.Cart/Get")

                def answers() -> set[bytes]:
                    return {ask(b"", timeout=10) for _ in range(6)}

                assert answers() == {b"one", b"two"}
                two.says(NOT_SERVING, "shop.Cart")
                reason = 'grpc health of \\"shop.Cart\\": NOT_SERVING: by its own word it takes no calls'
                running.wait_said('"endpoint is down"', two.address, reason)
                assert answers() == {b"one"}

                two.says(SERVING, "shop.Cart")
                running.wait_said('"endpoint is up"', two.address, "grpc check passed")
                assert answers() == {b"one", b"two"}


SECURE = """\
listeners:
  web: {{bind: "127.0.0.1:0", tls: {{certificates: {{certificate: ours.pem}}}}, pool: calls}}
pools:
  calls:
    endpoints: [{endpoints}]
    protocol: h2
    tls: {{ca: ca.pem, server_name: cart.internal}}
    check: {{grpc: true, every: 30ms, timeout: 10s, initially: down}}
    panic: 0%
"""


def test_within_tls_on_both_sides_calls_and_checks_go_through(folder: Path) -> None:
    authority = Authority()
    authority.write(folder)
    authority.issue("localhost").write(folder, "ours")
    with serving(Named(b"one"), secured=authority.issue("cart.internal")) as server:
        (folder / "bascule.yaml").write_text(SECURE.format(endpoints=server.address))
        with Bascule(folder, "run") as running:
            port = running.ready().address().rpartition(":")[2]
            running.wait_said('"endpoint is up"', server.address, "grpc check passed")
            trusted = grpc.ssl_channel_credentials(authority.pem.encode())
            with grpc.secure_channel(f"localhost:{port}", trusted) as channel:
                assert channel.unary_unary("/shop.Cart/Get")(b"", timeout=10) == b"one"
            server.says(NOT_SERVING)
            running.wait_said('"endpoint is down"', server.address, "NOT_SERVING")
