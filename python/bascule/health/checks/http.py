"""Does it answer as it should? Sends one HTTP/1.1 request and looks at the status and the body."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self, cast

from bascule.errors import BasculeError
from bascule.health.body import PATIENCE_S, BodyPattern, TooSlow
from bascule.health.check import CheckFailed, Target
from bascule.health.fetch import Fetched, fetch


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """Passes when the status is one of those expected and the body, if asked for, matches.

    Each check is a connection of its own. Redirects are answers like any other and are not followed. The
    answer must also be complete: a body that ends before its length, or HTTP that h11 refuses, has failed.
    """

    name: ClassVar[str] = "http"

    path: str
    """Request target, with its query."""
    method: str = "GET"
    host: str | None = None
    """`Host`; `None`: the name the endpoint was found by, else its address."""
    expect_status: tuple[tuple[int, int], ...] = ((200, 399),)
    """Ranges, both ends included."""
    expect_body: BodyPattern | None = None
    """Searched for in the first `BODY_BYTES` of the body, read as UTF-8."""
    headers: tuple[tuple[str, str], ...] = ()
    """Sent as they are; they replace ours of the same name."""

    @classmethod
    def from_options(cls, options: Mapping[str, object]) -> Self:
        known = {"path", "method", "host", "expect_status", "expect_body", "headers"}
        if unknown := options.keys() - known:
            raise BasculeError(f"an http check has no option {', '.join(sorted(unknown))}")
        if not isinstance(path := options.get("path"), str):
            raise BasculeError("an http check needs a path such as /healthz")
        body = cast("str | None", options.get("expect_body"))
        try:
            pattern = None if body is None else BodyPattern.read(body)
        except BasculeError as error:
            raise BasculeError(f"expect_body is {error}") from error
        ranges = cast("Sequence[tuple[int, int]]", options.get("expect_status", ((200, 399),)))
        return cls(
            path=path,
            method=str(options.get("method", "GET")),
            host=cast("str | None", options.get("host")),
            expect_status=tuple((low, high) for low, high in ranges),
            expect_body=pattern,
            headers=tuple(cast("Mapping[str, str]", options.get("headers") or {}).items()),
        )

    async def run(self, target: Target) -> None:
        fields = {name.lower(): value for name, value in self.headers}
        if self.host:
            fields.setdefault("host", self.host)
        answer = await fetch(target, self.method, self.path, fields)
        await self._judge(f"{self.method} {self.path}", answer)

    async def _judge(self, what: str, answer: Fetched) -> None:
        if not any(low <= answer.status <= high for low, high in self.expect_status):
            wanted = ", ".join(
                f"{low}-{high}" if low != high else f"{low}" for low, high in self.expect_status
            )
            raise CheckFailed(f"HTTP {answer.status} from {what}, wanted {wanted}")
        if self.expect_body is not None:
            await self._compare(what, answer.body, self.expect_body)

    async def _compare(self, what: str, body: str, wanted: BodyPattern) -> None:
        try:
            if await wanted.is_in(body):
                return
        except TooSlow as error:
            limit = f"{PATIENCE_S * 1000:.0f} ms"
            raise CheckFailed(
                f"body of {what} takes longer than {limit} to search for {wanted.pattern!r}"
            ) from error
        begins = f"begins with {body[:60]!r}" if body else "is empty"
        raise CheckFailed(f"body of {what} {begins}, wanted a match of {wanted.pattern!r}")
