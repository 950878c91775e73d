"""Keeps web pages away from the admin API: a browser on this machine must not be talked into using it."""

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


def refusal(host: str | None, origin: str | None, *, over_unix: bool) -> str | None:
    """Why a request may not be served, or `None`. Pure.

    Rebinding a name to 127.0.0.1 needs a name, so over TCP only addresses and `localhost` are
    taken as Host. A page of another origin says so in Origin; one that we served has ours.
    """
    if origin is not None and (over_unix or urlsplit(origin).netloc.lower() != (host or "").lower()):
        return f"requests from pages of {origin[:100]} are not served"
    if over_unix or (host is not None and _is_address(host)):
        return None
    return "the Host of an admin request must be an IP address or localhost"


class Guard:
    """Answers 403 to what `refusal` refuses, before anything else looks at the request."""

    def __init__(self, app: ASGIApp, *, over_unix: bool) -> None:
        self._app = app
        self._over_unix = over_unix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        # Of two Host fields a proxy in between may have believed the other one.
        hosts = headers.getlist("host")
        host = hosts[0] if len(hosts) == 1 else None
        why = refusal(host, headers.get("origin"), over_unix=self._over_unix)
        if why is not None:
            await JSONResponse({"error": why}, 403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def _is_address(host: str) -> bool:
    name = (urlsplit(f"//{host}").hostname or "") if _is_authority(host) else ""
    if name == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _is_authority(host: str) -> bool:
    try:
        urlsplit(f"//{host}").port  # noqa: B018 (reading it is the check)
    except ValueError:
        return False
    return "@" not in host and "/" not in host
