"""Every check there is, by name."""

from bascule import extensions
from bascule.health.check import Check
from bascule.health.checks.command import CommandCheck
from bascule.health.checks.dns import DnsCheck
from bascule.health.checks.grpc import GrpcCheck
from bascule.health.checks.http import HttpCheck
from bascule.health.checks.mysql import MysqlCheck
from bascule.health.checks.postgres import PostgresCheck
from bascule.health.checks.python import PythonCheck
from bascule.health.checks.redis import RedisCheck
from bascule.health.checks.tcp import TcpCheck
from bascule.health.checks.tls import TlsCheck
from bascule.health.checks.udp import UdpCheck
from bascule.plan.plan import PlannedCheck

_GROUP = "bascule.checks"

CHECKS: tuple[type[Check], ...] = (
    CommandCheck,
    DnsCheck,
    GrpcCheck,
    HttpCheck,
    MysqlCheck,
    PostgresCheck,
    PythonCheck,
    RedisCheck,
    TcpCheck,
    TlsCheck,
    UdpCheck,
)
"""Every check that ships. Packages add their own through the `bascule.checks` entry point."""


def names() -> tuple[str, ...]:
    """Every check that a configuration may name, sorted; nothing is imported to find out."""
    return extensions.names(_GROUP, _ours())


def find(name: str) -> type[Check]:
    """The check of that name. Raises `BasculeError` when it is not there or cannot be imported."""
    return extensions.find("check", name, _GROUP, _ours())


def _ours() -> dict[str, type[Check]]:
    return {check.name: check for check in CHECKS}


def build(planned: PlannedCheck) -> Check:
    """The check that `planned` asks for. Raises `BasculeError` also when it refuses its options."""
    return find(planned.kind).from_options(planned.options)
