"""What may not be in pools: their endpoints, algorithms and checks; and where answers and logs go."""

import importlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath

from bascule import contract
from bascule.config.messages import did_you_mean
from bascule.config.model import Check, Config, DnsSource, Endpoint, FileSource, OtherSource, SrvSource
from bascule.config.places import Path, Span
from bascule.config.problems import Mistake, Problem
from bascule.errors import BasculeError
from bascule.plan import binds
from bascule.plan.algorithms import plan_algorithm
from bascule.plan.check_kinds import plan_options
from bascule.plan.options import misfits
from bascule.plan.plan import PlannedCheck, PlannedSource
from bascule.units import format_duration

QUICKEST_FILE_MS = 10


def pools_have_endpoints(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """An empty pool answers 503 to everything."""
    for name, pool in config.pools.items():
        if not pool.endpoints:
            at = config.places.key(("pools", name, "endpoints"))
            yield at.problem(
                f'pool "{name}" has no endpoints', "every request for it is answered with 503", "warning"
            )


def endpoints_are_unique(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """One address is one endpoint, and one id is one endpoint: health and counters are kept by it."""
    for name, pool in config.pools.items():
        addresses: dict[str, Path] = {}
        ids: dict[str, Path] = {}
        for at, endpoint in enumerate(pool.endpoints):
            if not isinstance(endpoint, Endpoint):
                continue
            path = ("pools", name, "endpoints", at)
            if (first := addresses.setdefault(endpoint.address, path)) != path:
                what = f'endpoint {endpoint.address} is twice in pool "{name}"'
                yield _twice(config, (*path, "address"), first, what, "raise its weight to send it more")
            elif (first := ids.setdefault(endpoint.id or endpoint.address, path)) != path:
                what = f'two endpoints of pool "{name}" have the id "{endpoint.id or endpoint.address}"'
                yield _twice(config, (*path, "id"), first, what, "give it another id")


def algorithms_are_known(config: Config, catalog: contract.Catalog) -> Iterator[Problem]:
    """The algorithm is in the catalogue, and its options are what the catalogue says."""
    for name, pool in config.pools.items():
        path: Path = ("pools", name, "algorithm")
        # Written as {hash: {by: client}}, the options stand below the name.
        below = (*path, pool.algorithm.name)
        is_short = config.places.find(below)[1]
        named_at = config.places.key(below) if is_short else config.places.value((*path, "name"))
        options_at = below if is_short else (*path, "options")
        try:
            planned = plan_algorithm(pool.algorithm)
        except Mistake as mistake:
            yield config.places.value((*options_at, "by")).problem(mistake.message, mistake.hint)
            continue
        chosen = Chosen("algorithm", planned.name, named_at, planned.options, options_at)
        yield from fits_catalog(config, catalog.algorithms, chosen)


@dataclass(frozen=True, slots=True)
class Chosen:
    """An algorithm or matcher that a configuration names, its options, and where both are written."""

    kind: str
    name: str
    named_at: Span
    options: Mapping[str, object]
    options_at: Path


def fits_catalog(config: Config, entries: Sequence[contract.Entry], chosen: Chosen) -> Iterator[Problem]:
    """What is wrong with a name and its options, as the catalogue sees them."""
    known = {entry.name: entry for entry in entries}
    if (entry := known.get(chosen.name)) is None:
        hint = did_you_mean(chosen.name, known) or f"there are: {', '.join(known)}"
        yield chosen.named_at.problem(f'there is no {chosen.kind} "{chosen.name}"', hint)
        return
    for misfit in misfits(dict(chosen.options), entry.options):
        at = (*chosen.options_at, *misfit.path)
        span = config.places.key(at) if misfit.at_key else config.places.value(at)
        yield span.problem(f'{chosen.kind} "{chosen.name}": {misfit.what}', misfit.hint)


def checks_fit(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Checks do not overtake each other, and those of packages are installed."""
    for name, pool in config.pools.items():
        path = ("pools", name, "check")
        if pool.check is None:
            continue
        if pool.check.timeout > pool.check.every:
            place, whole = config.places.find((*path, "timeout"))
            span = place.value if whole else config.places.value((*path, "every"))
            what = (
                f"a check may take {format_duration(pool.check.timeout)}, longer than the "
                f"{format_duration(pool.check.every)} to the next"
            )
            yield span.problem(what, "lower `timeout`, or raise `every`", "warning")
        if pool.check.grpc is not None and pool.protocol == "http1":
            what = f'pool "{name}" is checked by gRPC, but its requests are sent in HTTP/1.1'
            hint = "servers of gRPC take only HTTP/2: add `protocol: h2c`, or `h2` with TLS"
            yield config.places.value(path).problem(what, hint, "warning")
        if pool.check.kind is not None:
            yield from _installed(config, (*path, "kind"), "bascule.health.registry", _planned(pool.check))
        if pool.check.database is not None:
            key = pool.check.asked_kind
            yield from _installed(config, (*path, key), "bascule.health.registry", _planned(pool.check))
        if pool.check.command is not None:
            yield from _can_be_run(config, (*path, "command", 0), pool.check.command[0])
        if pool.check.is_particular and pool.panic:
            what = f"below {pool.panic}% this pool is used with endpoints whose role is another"
            yield config.places.value(("pools", name, "panic")).problem(what, "write panic: 0%", "warning")


def sources_fit(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Sources have sensible times, and those of packages are installed."""
    for name, pool in config.pools.items():
        for at, source in enumerate(pool.endpoints):
            path = ("pools", name, "endpoints", at)
            if isinstance(source, DnsSource | SrvSource) and source.minimum_ttl > source.maximum_ttl:
                place, whole = config.places.find((*path, "minimum_ttl"))
                span = place.value if whole else config.places.value((*path, "maximum_ttl"))
                what = (
                    f"minimum_ttl ({format_duration(source.minimum_ttl)}) is above maximum_ttl "
                    f"({format_duration(source.maximum_ttl)})"
                )
                yield span.problem(what, "swap them, or leave one out")
            if isinstance(source, FileSource) and source.every < QUICKEST_FILE_MS:
                span = config.places.value((*path, "every"))
                yield span.problem(
                    f"a file is looked at no more often than every {QUICKEST_FILE_MS}ms", "raise `every`"
                )
            if isinstance(source, OtherSource):
                planned = PlannedSource(source.source, source.options)
                yield from _installed(config, (*path, "source"), "bascule.discovery.registry", planned)


def the_access_log_can_be_a_file(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """What is named is no directory, and stands in one."""
    if config.access_log is None or config.access_log.path is None:
        return
    at = config.places.value(("access_log", "path"))
    path = FilePath(config.places.beside(("access_log", "path"), config.access_log.path))
    if path.is_dir():
        yield at.problem(f"{path} is a directory", "name a file in it")
    elif not path.parent.is_dir():
        yield at.problem(f"the directory {path.parent} is not there", "create it, or name another")


def admin_is_private(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Who reaches the admin side can stop the balancer, and there is no password."""
    if config.admin.bind is not None and binds.is_public(config.admin.bind):
        at = config.places.value(("admin", "bind"))
        what = f"others can reach {config.admin.bind}, and whoever can reach it can stop the balancer"
        yield at.problem(what, "use a Unix socket or 127.0.0.1; `metrics` may be public", "warning")


def _can_be_run(config: Config, path: Path, program: str) -> Iterator[Problem]:
    file = FilePath(program)
    if not file.is_file():
        yield config.places.value(path).problem(f"the program {program} is not there", "install it")
    elif not os.access(file, os.X_OK):
        yield config.places.value(path).problem(f"{program} may not be run", f"chmod +x {program}")


def _planned(check: Check) -> PlannedCheck:
    return PlannedCheck(
        str(check.kind or check.asked_kind),
        check.options if check.kind is not None else plan_options(check),
        check.every,
        check.timeout,
        check.rise,
        check.fall,
        check.initially == "up",
    )


def _installed(
    config: Config, path: Path, registry: str, planned: PlannedCheck | PlannedSource
) -> Iterator[Problem]:
    """Whether a registry can build what is planned. Imported here only: few configurations need it."""
    try:
        importlib.import_module(registry).build(planned)
    except BasculeError as error:
        yield config.places.value(path).problem(error.message, error.hint)


def _twice(config: Config, path: Path, first: Path, what: str, hint: str) -> Problem:
    return config.places.value(path).problem(what, f"first at {config.places.value(first).place}; {hint}")


RULES = (
    pools_have_endpoints,
    endpoints_are_unique,
    algorithms_are_known,
    checks_fit,
    sources_fit,
    the_access_log_can_be_a_file,
    admin_is_private,
)
"""Every rule of this file."""
