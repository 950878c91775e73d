"""Certificates: which are in use, and those that are handed over. No key is ever in an answer."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from bascule.admin.resources.body import read_bytes
from bascule.control.balancer import Balancer

LARGEST_PEM = 1 << 20


class Certificates:
    """Each method is one resource. The path names a certificate that was, or is being, handed over."""

    def __init__(self, balancer: Balancer) -> None:
        self._balancer = balancer

    async def every(self, _request: Request) -> Response:
        return JSONResponse(self._balancer.handing_over.every())

    async def show(self, request: Request) -> Response:
        return JSONResponse(await self._balancer.handing_over.one(_name(request)))

    async def put(self, request: Request) -> Response:
        """Clients are shown it when this is answered: 201 for a new name, else 200."""
        content = await read_bytes(request, LARGEST_PEM)
        told, is_new = await self._balancer.handing_over.put(_name(request), content, _who(request))
        return JSONResponse(told, 201 if is_new else 200)

    async def remove(self, request: Request) -> Response:
        return JSONResponse(await self._balancer.handing_over.remove(_name(request), _who(request)))


def _name(request: Request) -> str:
    return str(request.path_params["name"])


def _who(request: Request) -> str:
    """The address it came from. On a Unix socket that is always the owner, or root."""
    return request.client.host if request.client is not None and request.client.host else "admin socket"
