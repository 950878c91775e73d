"""Asks a running balancer over its admin address."""

import http.client
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bascule.admin import address as admin_address
from bascule.admin.address import AdminAddress, UnixAdmin
from bascule.cli import file
from bascule.cli.exits import TimedOut, Unreachable
from bascule.errors import BasculeError


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    body: Any
    """Decoded JSON, or text."""


def where(named: str | None) -> AdminAddress:
    """The address that a command talks to.

    In this order: what was named, `BASCULE_ADMIN`, what the configuration file of the current
    directory says, the default of this user.
    """
    chosen = named or os.environ.get("BASCULE_ADMIN") or _written_here()
    return admin_address.parse(chosen) if chosen else admin_address.default(os.environ, os.geteuid())


def ask(
    address: AdminAddress,
    method: str,
    path: str,
    body: Mapping[str, object] | bytes | None = None,
    *,
    timeout_s: float,
) -> Answer:
    """One request. Raises `Unreachable`, `TimedOut`, or `BasculeError` with what the balancer said."""
    connection = _Connection(address, timeout_s)
    if body is None or isinstance(body, bytes):
        content, kind = body, {}
    else:
        content, kind = json.dumps(body).encode(), {"Content-Type": "application/json"}
    try:
        connection.request(method, path, content, kind)
        response = connection.getresponse()
        content = response.read()
    except TimeoutError as error:
        raise TimedOut(f"no answer from {address} within {timeout_s:g} s") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "strerror", None) or error
        raise Unreachable(
            f"no balancer answers on {address}: {reason}",
            "is one running? Name another address with --admin or BASCULE_ADMIN",
        ) from error
    finally:
        connection.close()
    answer = Answer(response.status, _decoded(response.getheader("content-type", ""), content))
    if answer.status >= 400:
        raise BasculeError(_why(answer))
    return answer


class _Connection(http.client.HTTPConnection):
    """`http.client` over either kind of address."""

    def __init__(self, address: AdminAddress, timeout_s: float) -> None:
        host, port = ("localhost", 80) if isinstance(address, UnixAdmin) else (address.host, address.port)
        super().__init__(host, port, timeout=timeout_s)
        self._address = address

    def connect(self) -> None:
        if not isinstance(self._address, UnixAdmin):
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._address.path))


def _decoded(kind: str, content: bytes) -> Any:
    text = content.decode("utf-8", "replace")
    return json.loads(text) if kind.startswith("application/json") else text


def _why(answer: Answer) -> str:
    if isinstance(answer.body, dict) and isinstance(answer.body.get("error"), str):
        return str(answer.body["error"])
    return f"the balancer answered {answer.status}: {str(answer.body)[:200]}"


def _written_here() -> str | None:
    path = file.default()
    # A `bascule.py` is not run just to find out where to ask.
    if path is None or path.suffix == ".py":
        return None
    from bascule.cli.written import admin_bind  # noqa: PLC0415 (the configuration's libraries, for this case only)

    try:
        return admin_bind(path)
    except BasculeError as error:
        raise BasculeError(
            f"{error}\ncannot tell from {path} where to ask",
            "mend the file, or name the address with --admin",
        ) from error
