"""One endpoint: what it does now, and what an operator wants of it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bascule.admin.resources.body import BodyRefused, read_object
from bascule.control.balancer import Balancer
from bascule.control.standing import HEAVIEST, Command
from bascule.health.duty import Duty


class Endpoints:
    """Each method is one resource. The path names a pool, and an endpoint of it by id or address."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer

    async def show(self, request: Request) -> Response:
        return JSONResponse(await self._balancer.endpoint(*_named(request)))

    async def change(self, request: Request) -> Response:
        """Changes only what the body holds, and answers as `show` does: it is in force by then."""
        change = _change(await read_object(request))
        self._balancer.command(*_named(request), change)
        return await self.show(request)


def _named(request: Request) -> tuple[str, str]:
    return request.path_params["pool"], request.path_params["endpoint"]


def _change(body: Mapping[str, object]) -> Callable[[Command], Command]:
    if unknown := body.keys() - {"state", "weight"}:
        raise BodyRefused(400, f"there is no {', '.join(sorted(unknown))}; there are state and weight")
    wanted: dict[str, Any] = {}
    if "state" in body:
        wanted["duty"] = _duty(body["state"])
    if "weight" in body:
        wanted["weight"] = _weight(body["weight"])
    if not wanted:
        raise BodyRefused(400, 'the body must hold a state or a weight, as in {"state": "drain"}')
    return lambda command: replace(command, **wanted)


def _duty(written: object) -> Duty:
    known = {str(duty): duty for duty in Duty}
    if not isinstance(written, str) or written not in known:
        raise BodyRefused(400, f"state must be {', '.join(known)}, not {written!r:.60}")
    return known[written]


def _weight(written: object) -> int | None:
    if written is None:
        return None
    if isinstance(written, bool) or not isinstance(written, int) or not 0 <= written <= HEAVIEST:
        most = f"0 to {HEAVIEST}, or null for the default"
        raise BodyRefused(400, f"weight must be {most}, not {written!r:.60}")
    return written
