"""What may be seen: status, configuration, metrics, readiness."""

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from bascule.control.balancer import Balancer
from bascule.observe import prometheus


class Observed:
    """Each method is one resource. Nothing here changes anything."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer

    async def status(self, _request: Request) -> Response:
        return JSONResponse(await self._balancer.status())

    async def configuration(self, _request: Request) -> Response:
        return JSONResponse(self._balancer.configuration())

    async def metrics(self, _request: Request) -> Response:
        # Not `media_type`: Starlette would add a second charset to it.
        return Response(await self._balancer.metrics(), headers={"content-type": prometheus.CONTENT_TYPE})

    async def ready(self, _request: Request) -> Response:
        if self._balancer.is_ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("stopping or not started\n", 503)
