"""What authorities are answered while they look whether a name is ours, by all who share the storage.

An answer is a file in the storage directory, so that an authority may come to any of the balancers that the
name leads to. It holds nothing secret.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from bascule import contract
from bascule.acme.apart import Apart, in_thread
from bascule.clock import Clock
from bascule.plan.credentials import Held

LOOK_EVERY_S = 2.0
LASTS_S = 3600.0
"""What was left behind by a balancer that died is not answered for longer."""

_NO_EDITS = contract.HeaderEdits()
_KIND = (contract.HeaderValue("Content-Type", "application/octet-stream"),)


@dataclass(frozen=True, slots=True)
class Answer:
    """To one authority, about one name."""

    challenge: Literal["http-01", "tls-alpn-01"]
    name: str
    token: str
    authorization: str
    until: float
    """Unix time."""


class Answers:
    """Those that are wanted now. `on_change` is called on the event loop when they are others."""

    def __init__(
        self, clock: Clock, on_change: Callable[[], None], wall: Callable[[], float], apart: Apart = in_thread
    ) -> None:
        self._clock = clock
        self._on_change = on_change
        self._wall = wall
        self._apart = apart
        self._folder: Path | None = None
        self._now: tuple[Answer, ...] = ()
        self._certificates: dict[Answer, contract.CertificateMaterial] = {}

    def look_in(self, folder: Path | None) -> None:
        """Where answers are from now on; `None`: nowhere."""
        self._folder = folder

    async def look(self) -> None:
        """Finds those that were put or taken away, by whomever."""
        folder = self._folder
        found = () if folder is None else await self._apart(_found, folder, self._wall())
        if found != self._now:
            self._now = found
            self._certificates = {it: kept for it, kept in self._certificates.items() if it in found}
            self._on_change()

    async def follow(self) -> None:
        """Looks again and again. Ends by being cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            if self._folder is not None or self._now:
                await self.look()

    def on_top_of(self, held: Held) -> Held:
        """With what is answered over HTTP put before all routes, and what is shown in handshakes."""
        over_http = [it for it in self._now if it.challenge == "http-01"]
        shown = [self._certificate(it) for it in self._now if it.challenge == "tls-alpn-01"]
        if not over_http and not shown:
            return held
        served = tuple(contract.ServedCertificate(each.id, (name,)) for name, each in shown)
        return replace(
            held,
            listeners={name: replace(tls, challenges=served) for name, tls in held.listeners.items()},
            material={**held.material, **{each.id: each for _, each in shown}},
            answers=tuple(_route(at, it) for at, it in enumerate(over_http, 1)),
        )

    def _certificate(self, answer: Answer) -> tuple[str, contract.CertificateMaterial]:
        if answer not in self._certificates:
            from bascule.acme.proof import challenge_certificate  # noqa: PLC0415 (loaded where it is needed)

            self._certificates[answer] = challenge_certificate(
                answer.name, answer.authorization, self._wall()
            )
        return answer.name, self._certificates[answer]


def are_shown(wanted: Iterable[Answer], snapshot: contract.Snapshot | None) -> bool:
    """Whether the data plane gives these answers."""
    if snapshot is None:
        return False
    routes = [it for listener in snapshot.listeners for it in listener.routes[:1000]]
    bodies = {it.action.body for it in routes if isinstance(it.action, contract.RespondAction)}
    secure = [listener.tls for listener in snapshot.listeners if listener.tls is not None]
    names = {name for tls in secure for each in tls.challenges for name in each.names}
    return all(it.authorization in bodies if it.challenge == "http-01" else it.name in names for it in wanted)


def file_of(folder: Path, answer: Answer) -> Path:
    """Where an answer is kept. Tokens are fit for file names (RFC 8555, 8.3)."""
    return folder / f"{answer.token}.json"


def written(answer: Answer) -> bytes:
    return json.dumps(asdict(answer), indent=1).encode()


def _found(folder: Path, now: float) -> tuple[Answer, ...]:
    try:
        files = sorted(folder.glob("*.json"))
    except OSError:
        return ()
    found = []
    for file in files:
        try:
            answer = Answer(**json.loads(file.read_bytes()))
        except (OSError, ValueError, TypeError):
            continue  # Taken away meanwhile, or nothing of ours.
        if answer.until > now:
            found.append(answer)
        elif answer.until < now - LASTS_S:
            file.unlink(missing_ok=True)
    return tuple(found)


def _route(number: int, answer: Answer) -> contract.Route:
    # A colon is in no name that a configuration gives, and a number keeps the metrics from growing.
    return contract.Route(
        id=f"acme:{number}",
        matchers=(
            contract.Matcher(
                "path",
                {"paths": [{"kind": "exact", "value": f"/.well-known/acme-challenge/{answer.token}"}]},
            ),
        ),
        action=contract.RespondAction(200, _KIND, answer.authorization),
        rewrite=None,
        request_headers=_NO_EDITS,
        response_headers=_NO_EDITS,
        timeouts=contract.RouteTimeouts(response_ms=60_000, idle_ms=60_000, total_ms=None, tunnel_ms=60_000),
    )
