"""The admin API: the table of its resources. Nothing is changed by a GET."""

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from bascule.admin.guard import Guard
from bascule.admin.resources.body import BodyRefused
from bascule.admin.resources.certificates import Certificates
from bascule.admin.resources.changes import Changes
from bascule.admin.resources.endpoints import Endpoints
from bascule.admin.resources.observed import Observed
from bascule.certificates.fault import CertificateRefused
from bascule.control.balancer import Balancer
from bascule.control.lookup import NotThere
from bascule.errors import BasculeError

INDEX = {
    "GET /status": "listeners, pools and endpoints now, with reasons",
    "GET /healthz": "200 while the program runs",
    "GET /readyz": "200 while new traffic is welcome, 503 before and while stopping (also /ready, /ping)",
    "GET /metrics": "Prometheus text",
    "GET /config": "the live configuration, with every default filled in",
    "GET /pools/{pool}/endpoints/{endpoint}/state": "one endpoint now, named by id or address",
    "POST /pools/{pool}/endpoints/{endpoint}/state": "what an operator wants of it: {state: ready} (or "
    "drain, maintenance), {weight: 5} (or null: the default), or both; also as PUT",
    "GET /certificates": "every certificate in use, by whom, and until when",
    "GET /certificates/{name}": "one that was handed over",
    "PUT /certificates/{name}": "hand one over: certificate, chain and key as PEM; it is shown when that is "
    "answered",
    "DELETE /certificates/{name}": "it is shown no more",
    "POST /plan": "what would change: {config: {}} as GET /config gives it, or empty for its own file",
    "POST /explain": "what would become of a request, and why: {method, url, headers, client, listener}; "
    "nothing is sent",
    "POST /reload": "read the configuration again; refused whole when anything is wrong",
    "POST /upgrade": "start a successor, which takes over; this process drains",
    "POST /stop": "drain and stop: {}, {now: true} or {drain: true} (no time limit)",
}
"""What `GET /` answers."""

ENDPOINT = "/pools/{pool}/endpoints/{endpoint:path}/state"
"""An endpoint may be a path: that of a Unix socket."""
CERTIFICATE = "/certificates/{name}"


def admin_app(balancer: Balancer, *, over_unix: bool) -> ASGIApp:
    """Everything, behind the check of Host and Origin."""
    observed, endpoints, changes = Observed(balancer), Endpoints(balancer), Changes(balancer)
    certificates = Certificates(balancer)
    return Starlette(
        routes=[
            Route("/", lambda _: JSONResponse(INDEX), methods=["GET"]),
            Route("/status", observed.status, methods=["GET"]),
            Route("/config", observed.configuration, methods=["GET"]),
            *_public(observed),
            Route(ENDPOINT, endpoints.show, methods=["GET"]),
            Route(ENDPOINT, endpoints.change, methods=["POST", "PUT"]),
            Route("/certificates", certificates.every, methods=["GET"]),
            Route(CERTIFICATE, certificates.show, methods=["GET"]),
            Route(CERTIFICATE, certificates.put, methods=["PUT"]),
            Route(CERTIFICATE, certificates.remove, methods=["DELETE"]),
            Route("/plan", changes.plan, methods=["POST"]),
            Route("/explain", observed.explain, methods=["POST"]),
            Route("/reload", changes.reload, methods=["POST"]),
            Route("/upgrade", changes.upgrade, methods=["POST"]),
            Route("/stop", changes.stop, methods=["POST"]),
        ],
        middleware=[Middleware(Guard, over_unix=over_unix)],
        exception_handlers={BasculeError: _refused, BodyRefused: _refused_body},
    )


def metrics_app(balancer: Balancer) -> ASGIApp:
    """What monitoring may see from afar: nothing that changes anything, and no configuration."""
    return Starlette(routes=_public(Observed(balancer)))


def _public(observed: Observed) -> list[Route]:
    return [
        Route("/metrics", observed.metrics, methods=["GET"]),
        Route("/healthz", lambda _: PlainTextResponse("ok\n"), methods=["GET"]),
        *(Route(path, observed.ready, methods=["GET"]) for path in ("/readyz", "/ready", "/ping")),
    ]


async def _refused(_request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, NotThere) else 422 if isinstance(error, CertificateRefused) else 409
    return JSONResponse({"error": str(error)}, status)


async def _refused_body(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, error.status if isinstance(error, BodyRefused) else 400)
