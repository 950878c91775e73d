"""The routes of a listener: what they match and what they do."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, StrictStr, model_validator

from bascule.config.http_values import (
    EditableHeader,
    EditTemplate,
    HeaderName,
    HeaderText,
    HostPattern,
    Location,
    Method,
    Network,
    Parameter,
    Path,
    RemovableHeader,
    Replacement,
)
from bascule.config.patterns import Regex
from bascule.config.problems import Mistake
from bascule.config.protection_values import Permille, Priority
from bascule.config.rate_limits import RateLimits
from bascule.config.section import Section, alternative
from bascule.config.values import Duration, DurationOrNone, Name, ShortForm, one_or_list, shown

SECOND = 1000
_TEXT = {"type": "string"}
_PATH_KINDS = ("prefix", "exact", "regex")
_VALUE_KINDS = ("exact", "regex")


class PathTest(Section):
    """One way in which a path may match. Paths are compared after normalisation, query excluded."""

    title: ClassVar[str] = "a path match"

    exact: Path | None = alternative()
    """The whole path."""
    prefix: Path | None = alternative()
    """By segment: `/v1` and `/v1/` both match /v1, /v1/ and /v1/x, and not /v1x."""
    regex: Regex | None = alternative()
    """Found anywhere in the path unless it is anchored with `^` and `$`; linear time, no look-around."""


class ValueTest(Section):
    """How the value of a header or query parameter is tested."""

    title: ClassVar[str] = "a value match"

    present: bool | None = alternative()
    """`true`: it is there, whatever its value. `false`: it is not there."""
    exact: StrictStr | None = alternative()
    """The whole value."""
    regex: Regex | None = alternative()
    """Found anywhere in the value unless it is anchored."""


def _path_test(value: Any) -> Any:
    if isinstance(value, str):
        return {"prefix": value}
    return value if isinstance(value, PathTest) else _only(value, _PATH_KINDS, "a path match")


def _value_test(value: Any) -> Any:
    if isinstance(value, bool):
        return {"present": value}
    if isinstance(value, str | int):
        return {"exact": str(value)}
    return (
        value if isinstance(value, ValueTest) else _only(value, ("present", *_VALUE_KINDS), "a value match")
    )


def _only(value: Any, kinds: tuple[str, ...], section: str) -> Any:
    """`value` with exactly one of `kinds`; unknown keys are left for the model to name."""
    listed = ", ".join(kinds)
    if not isinstance(value, dict):
        raise Mistake(f"expected {section}, not {shown(value)}", f"write text, or one of: {listed}")
    given = [kind for kind in kinds if value.get(kind) is not None]
    if len(given) > 1:
        raise Mistake(f"{section} has only one of {listed}, not {' and '.join(given)}", "keep one of them")
    if not given and not set(value) - set(kinds):
        raise Mistake(f"{section} needs one of {listed}")
    return value


OnePathTest = Annotated[PathTest, ShortForm(_path_test, (_TEXT,))]
OneValueTest = Annotated[ValueTest, ShortForm(_value_test, ({"type": ["string", "boolean", "integer"]},))]
Protocol = Annotated[StrictStr, Field(min_length=1, max_length=255, pattern="^[!-~]+$")]
"""A protocol as ALPN names it, such as `h2`."""
Listed = ShortForm(one_or_list, ())
"""One item may stand without its list."""


class CertificateTest(Section):
    """What a client's certificate must say; all of it."""

    title: ClassVar[str] = "a certificate match"

    present: bool | None = alternative()
    """`true`: the client has shown one. `false`: it has not."""
    subject: OneValueTest | None = alternative()
    """As in `CN=alice,O=Example` (RFC 4514): the whole of it, or `{regex: …}`."""
    dns: OneValueTest | None = alternative()
    """One of its host names (`subjectAltName`)."""
    uri: OneValueTest | None = alternative()
    """One of its URIs, such as a SPIFFE id."""
    fingerprint: OneValueTest | None = alternative()
    """Its SHA-256, in lower case hexadecimal."""

    @model_validator(mode="after")
    def _asks_for_something(self) -> "CertificateTest":
        asked = [key for key in type(self).model_fields if getattr(self, key) is not None]
        if not asked or (len(asked) > 1 and self.present is not None):
            raise Mistake(
                "a certificate match is true, false, or some of subject, dns, uri and fingerprint",
                "write client_certificate: {dns: client.example.com}",
            )
        return self


def _certificate_test(value: Any) -> Any:
    return {"present": value} if isinstance(value, bool) else value


class Match(Section):
    """What a route takes. All that is given must hold; nothing given matches everything."""

    title: ClassVar[str] = "a match"

    host: Annotated[tuple[HostPattern, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """Host names, any of them: exact, or `*.example.com` for everything one or more labels below."""
    path: Annotated[tuple[OnePathTest, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """Paths, any of them: text is a prefix by segment; or `{exact: …}`, `{prefix: …}`, `{regex: …}`."""
    method: Annotated[tuple[Method, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """Methods, any of them."""
    header: dict[HeaderName, OneValueTest] = Field(default_factory=dict)
    """By header name, all of them: a value, `true` (present), `false` (absent) or `{regex: …}`."""
    query: dict[Parameter, OneValueTest] = Field(default_factory=dict)
    """By query parameter, all of them: a value, `true` (present), `false` (absent) or `{regex: …}`."""
    client: Annotated[tuple[Network, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """Networks (CIDR) the client's address is in, any of them."""
    client_certificate: Annotated[
        CertificateTest | None, ShortForm(_certificate_test, ({"type": "boolean"},))
    ] = alternative()
    """The certificate that the client has shown: `true` (any), `false` (none), or `{subject, dns, uri,
    fingerprint}`, all of them."""
    sni: Annotated[tuple[HostPattern, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """For TCP and `passthrough`: the name that the client asks for in its TLS hello, any of them: exact, or
    `*.example.com` for everything one or more labels below."""
    alpn: Annotated[tuple[Protocol, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """For TCP and `passthrough`: protocols that the client offers in its TLS hello (ALPN), any of them."""
    others: dict[StrictStr, dict[str, Any]] = Field(default_factory=dict)
    """Matchers of the catalogue that have no key of their own here: options by matcher name."""


class Redirect(Section):
    """An answer that sends the client elsewhere."""

    title: ClassVar[str] = "a redirect"

    to: Annotated[Location, Field(examples=["https://{host}{uri}"])]
    """Where: `{scheme}`, `{host}`, `{path}`, `{query}` and `{uri}` (path with query) are filled in."""
    status: Literal[301, 302, 303, 307, 308] = 302
    """301 and 308 are permanent; 307 and 308 keep the method and the body."""


class Respond(Section):
    """An answer written here."""

    title: ClassVar[str] = "an answer"

    status: Annotated[int, Field(strict=True, ge=200, le=599)] = 200
    """200 to 599."""
    body: StrictStr = ""
    """Sent as it is, with its length."""
    headers: dict[EditableHeader, HeaderText] = Field(default_factory=dict)
    """Sent as they are. Give a Content-Type with a body."""

    @model_validator(mode="after")
    def _no_body_where_there_is_none(self) -> "Respond":
        if self.body and self.status in (204, 205, 304):
            raise Mistake(
                f"an answer with status {self.status} has no body", "leave out the body (RFC 9110, 15)"
            )
        return self


def _redirect(value: Any) -> Any:
    if value == "https":
        return {"to": "https://{host}{uri}", "status": 308}
    return {"to": value} if isinstance(value, str) else value


def _respond(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return {"status": value}
    return {"body": value} if isinstance(value, str) else value


class PrefixChange(Section):
    """A leading prefix that becomes another."""

    title: ClassVar[str] = "a prefix rewrite"

    from_: Annotated[Path, Field(alias="from", examples=["/old"])]
    """The prefix, by segment; other paths stay."""
    to: Annotated[Path, Field(examples=["/new"])]
    """What it becomes."""


class Rewrite(Section):
    """How the path changes before it is forwarded. One of the four; the query stays."""

    title: ClassVar[str] = "a rewrite"

    strip: Path | None = alternative()
    """A leading prefix, by segment, to take off: /v1/users becomes /users."""
    prefix: PrefixChange | None = alternative()
    """A leading prefix that becomes another."""
    set: Path | None = alternative()
    """The whole path becomes this."""
    regex: Regex | None = alternative()
    """All of what the pattern matches is replaced by `with`."""
    with_: Replacement | None = alternative(alias="with", examples=["/$1"])
    """The replacement for `regex`; `$1` and `$${name}` are its groups."""

    @model_validator(mode="after")
    def _is_one_of_four(self) -> "Rewrite":
        given = [key for key in ("strip", "prefix", "set", "regex") if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) if given else "none"
            raise Mistake(
                f"a rewrite is one of strip, prefix, set and regex, not {found}",
                "write another route for another rewrite",
            )
        if (self.regex is None) != (self.with_ is None):
            raise Mistake(
                "`regex` and `with` of a rewrite go together",
                'add `with: "…"`' if self.regex else "remove `with`",
            )
        return self


Templates = Annotated[
    tuple[EditTemplate, ...], ShortForm(one_or_list, ({"type": ["string", "integer", "boolean"]},))
]


class HeaderEdits(Section):
    """Changes to header fields: first remove, then set, then add."""

    title: ClassVar[str] = "header edits"

    remove: Annotated[tuple[RemovableHeader, ...], ShortForm(one_or_list, (_TEXT,))] = ()
    """Names to drop."""
    set: dict[EditableHeader, EditTemplate] = Field(default_factory=dict)
    """Values that replace all of the same name. `{client}`, `{host}`, `{scheme}`, `{path}`, `{query}`,
    `{uri}`, `{listener}` and `{route}` are filled in."""
    add: dict[EditableHeader, Templates] = Field(default_factory=dict)
    """Values added beside those of the same name; one or a list."""


class RouteTimeouts(Section):
    """How long an endpoint may take."""

    title: ClassVar[str] = "the timeouts of a route"

    response: Duration = 30 * SECOND
    """From the end of the request to the head of the response; then 504."""
    idle: Duration = 60 * SECOND
    """Between two reads of a response body, or two writes of a request body; then the exchange is cut."""
    total: DurationOrNone = None
    """The whole exchange; then 504, or a cut when the response has begun."""
    tunnel: Duration = 3600 * SECOND
    """Silence on an upgraded connection (WebSocket), both directions; then it is closed. So it is when one
    side takes nothing of what waits for it for as long."""
    deadline_header: EditableHeader | None = None
    """A header that tells the endpoint how many milliseconds are left of `total`. Clients in the listener's
    `trusted` networks shorten the time by sending it themselves."""


class Mirror(Section):
    """A second pool that gets copies of requests; what it answers is dropped."""

    title: ClassVar[str] = "a mirror"

    pool: Name
    """Its name."""
    share: Permille = 1000
    """Share of the requests; all by default."""


def _some_weight(shares: dict[str, int]) -> dict[str, int]:
    if not any(shares.values()):
        what = "the weights of this split are all 0" if shares else "this split has no pools"
        raise Mistake(what, "give pools their weights: {stable: 95, canary: 5}")
    return shares


Shares = Annotated[
    dict[Name, Annotated[int, Field(strict=True, ge=0, le=1_000_000)]],
    AfterValidator(_some_weight),
    Field(examples=["{stable: 95, canary: 5}"]),
]


class Route(Section):
    """A rule that sends matching traffic somewhere, or answers it: one of `pool`, `split`, `redirect`,
    `respond`."""

    title: ClassVar[str] = "a route"

    name: Name | None = alternative()
    """Its name in metrics and logs; by default that of its pool, or `redirect` or `respond`."""
    match: Match = Match()
    """What it takes; everything by default."""
    pool: Name | None = alternative()
    """Forward to an endpoint of this pool."""
    split: Shares | None = alternative()
    """Forward to one of several pools, by weight: `{stable: 95, canary: 5}`; 0 gets nothing."""
    redirect: Annotated[Redirect | None, ShortForm(_redirect, (_TEXT,))] = alternative()
    """Send the client elsewhere: a location (302), `https` (308 to the same in https), or `{to, status}`."""
    respond: Annotated[Respond | None, ShortForm(_respond, ({"type": ["integer", "string"]},))] = (
        alternative()
    )
    """Answer as written here: a status, a body, or `{status, body, headers}`."""
    rewrite: Rewrite | None = alternative()
    """How the path changes before it is forwarded."""
    request_headers: HeaderEdits = HeaderEdits()
    """Changes to the headers that the endpoint sees."""
    response_headers: HeaderEdits = HeaderEdits()
    """Changes to the headers that the client sees."""
    timeouts: RouteTimeouts = RouteTimeouts()
    """How long the endpoint may take."""
    mirror: Annotated[
        Mirror | None, ShortForm(lambda it: {"pool": it} if isinstance(it, str) else it, (_TEXT,))
    ] = alternative()
    """Send copies to a second pool: its name, or `{pool, share}`."""
    priority: Priority = 5
    """Who goes first where requests wait for an endpoint: `high` (8), `usual` (5), `low` (2), or 0 to 9."""
    rate_limit: RateLimits = ()
    """How many requests are let through: `100/s`, `100/s by client`, `{requests, per, burst, by, store}`; one
    or a list, and all of them must let a request through."""

    @model_validator(mode="after")
    def _does_one_thing(self) -> "Route":
        given = [key for key in ("pool", "split", "redirect", "respond") if getattr(self, key) is not None]
        if not given:
            raise Mistake("a route does nothing", "add one of: pool, split, redirect, respond")
        if len(given) > 1:
            raise Mistake(
                f"a route does one thing, not {' and '.join(given)}",
                "keep one of them; the first route that matches wins",
            )
        return self
