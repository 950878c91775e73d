"""What may be changed: the configuration and the end of the program. All by POST."""

import asyncio
import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bascule.config.load import LARGEST
from bascule.config.problems import ConfigRefused
from bascule.control.balancer import Balancer
from bascule.control.balancer import Changes as Would
from bascule.errors import BasculeError

LARGEST_BODY = 4 * LARGEST
"""Bytes. What is written in `LARGEST` bytes of YAML, as JSON and in its long forms, takes up to that much."""


class BodyRefused(Exception):  # noqa: N818 (an answer to the client)
    """The request body is not what the resource takes; `status` is 400 or 413."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Changes:
    """Each method is one resource."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer

    async def plan(self, request: Request) -> Response:
        try:
            body = await _object(request)
            config = body.get("config")
            if not isinstance(config, dict | None):
                raise BodyRefused(400, "config must be an object")
            changes = await self._changes(config)
        except BodyRefused as refused:
            return JSONResponse({"error": str(refused)}, refused.status)
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

    async def stop(self, request: Request) -> Response:
        try:
            body = await _object(request)
        except BodyRefused as refused:
            return JSONResponse({"error": str(refused)}, refused.status)
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


async def _object(request: Request) -> Mapping[str, object]:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise BodyRefused(413, f"the body is larger than {LARGEST_BODY} bytes")
    if not body:
        return {}
    try:
        found = json.loads(body)
    except ValueError as error:
        raise BodyRefused(400, f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BodyRefused(400, "the body must be a JSON object")
    return found
