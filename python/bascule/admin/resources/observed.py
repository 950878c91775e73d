"""What may be seen: status, configuration, metrics, readiness, and what would become of a request."""

import json
from collections.abc import Mapping

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from bascule.admin.resources.body import BodyRefused, read_object
from bascule.contract import codec
from bascule.control.balancer import Balancer
from bascule.observe import prometheus
from bascule.plan.asked import Asked


class Observed:
    """Each method is one resource. Nothing here changes anything."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer

    async def status(self, _request: Request) -> Response:
        return JSONResponse(await self._balancer.status())

    async def configuration(self, _request: Request) -> Response:
        return JSONResponse(self._balancer.configuration())

    async def explain(self, request: Request) -> Response:
        """What would become of a request. A question and no order, but one with a body: so it is a POST."""
        asking, told = self._balancer.explain(_asked(await read_object(request)))
        return JSONResponse(
            {key: json.loads(codec.encode(it)) for key, it in (("question", asking), ("explanation", told))}
        )

    async def metrics(self, _request: Request) -> Response:
        # Not `media_type`: Starlette would add a second charset to it.
        return Response(await self._balancer.metrics(), headers={"content-type": prometheus.CONTENT_TYPE})

    async def ready(self, _request: Request) -> Response:
        if self._balancer.is_ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("stopping or not started\n", 503)


def _asked(body: Mapping[str, object]) -> Asked:
    if unknown := body.keys() - set(Asked.__dataclass_fields__):
        known = ", ".join(Asked.__dataclass_fields__)
        raise BodyRefused(400, f"there is no {', '.join(sorted(unknown))}; there are {known}")
    headers = body.get("headers", [])
    if not isinstance(headers, list) or not all(isinstance(it, str) for it in headers):
        raise BodyRefused(400, 'headers is a list such as ["Cookie: session=1"]')
    texts = {key: body[key] for key in ("method", "url", "client", "listener") if key in body}
    for key, value in texts.items():
        if not isinstance(value, str) and (value is not None or key in {"method", "url"}):
            raise BodyRefused(400, f"{key} is text, not {value!r:.60}")
    if "url" not in texts:
        raise BodyRefused(400, 'the body must hold a url, as in {"url": "https://shop.example/cart"}')
    return Asked(**{"method": "GET", **texts, "headers": tuple(headers)})  # type: ignore[arg-type]
