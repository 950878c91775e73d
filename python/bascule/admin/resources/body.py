"""Reads what a request brings: one JSON object, or bytes, of bounded size."""

import json
from collections.abc import Mapping

from starlette.requests import Request

from bascule.config.load import LARGEST

LARGEST_BODY = 4 * LARGEST
"""Bytes. What is written in `LARGEST` bytes of YAML, as JSON and in its long forms, takes up to that much."""


class BodyRefused(Exception):  # noqa: N818 (an answer to the client)
    """The request body is not what the resource takes; `status` is 400 or 413."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


async def read_bytes(request: Request, largest: int) -> bytes:
    """All of the body. Raises `BodyRefused`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > largest:
            raise BodyRefused(413, f"the body is larger than {largest} bytes")
    return bytes(body)


async def read_object(request: Request) -> Mapping[str, object]:
    """The object in the body; empty when there is no body. Raises `BodyRefused`."""
    body = await read_bytes(request, LARGEST_BODY)
    if not body:
        return {}
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BodyRefused(400, f"the body is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise BodyRefused(400, "the body must be a JSON object")
    return found
