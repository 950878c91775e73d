"""What may be changed: the configuration and the end of the program. All by POST."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bascule.admin.resources.body import BodyRefused, read_object
from bascule.config.problems import ConfigRefused
from bascule.control.balancer import Balancer
from bascule.control.balancer import Changes as Would
from bascule.errors import BasculeError


class Changes:
    """Each method is one resource."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer

    async def plan(self, request: Request) -> Response:
        try:
            body = await read_object(request)
            config = body.get("config")
            if not isinstance(config, dict | None):
                raise BodyRefused(400, "config must be an object")
            changes = await self._changes(config)
        except BasculeError as error:
            return refused_config(error)
        return JSONResponse({"changes": changes.lines, "differs": changes.differs})

    async def reload(self, _request: Request) -> Response:
        try:
            reloaded = await self._balancer.reload()
        except BasculeError as error:
            return refused_config(error)
        return JSONResponse(
            {
                "generation": reloaded.generation,
                "changes": list(reloaded.changes),
                "warnings": [str(warning) for warning in reloaded.warnings],
            }
        )

    async def upgrade(self, _request: Request) -> Response:
        return JSONResponse({"process": await self._balancer.upgrade()}, 202)

    async def stop(self, request: Request) -> Response:
        body = await read_object(request)
        if body.get("now") is True:
            self._balancer.stop_now()
        elif body.get("drain") is True:
            self._balancer.drain()
        else:
            self._balancer.stop()
        return JSONResponse({"stopping": True}, 202)

    async def _changes(self, config: dict[str, object] | None) -> Would:
        # In a thread: a large configuration takes seconds, and checks must go on meanwhile.
        if config is None:
            return await asyncio.to_thread(self._balancer.own_changes)
        return await asyncio.to_thread(self._balancer.changes, config)


def refused_config(error: BasculeError) -> Response:
    """422 with every problem when a configuration is wrong, 409 for everything else."""
    if not isinstance(error, ConfigRefused):
        return JSONResponse({"error": str(error)}, 409)
    problems = [
        {
            "path": it.path,
            "line": it.line,
            "column": it.column,
            "severity": it.severity,
            "what": it.what,
            "hint": it.hint,
        }
        for it in error.problems
    ]
    return JSONResponse({"error": str(error), "problems": problems}, 422)
