"""A load balancer configured and extended in Python, with a data plane in Rust.

What a `bascule.py` needs is here: the models of the configuration, and `check`, which marks an async
function as a health check.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bascule.config.model import AccessLog as AccessLog
    from bascule.config.model import Acme as Acme
    from bascule.config.model import Admin as Admin
    from bascule.config.model import Agent as Agent
    from bascule.config.model import Algorithm as Algorithm
    from bascule.config.model import Bind as Bind
    from bascule.config.model import CertificateFile as CertificateFile
    from bascule.config.model import CertificateTest as CertificateTest
    from bascule.config.model import Check as Check
    from bascule.config.model import ClientCertificates as ClientCertificates
    from bascule.config.model import ClientLimits as ClientLimits
    from bascule.config.model import ClientTimeouts as ClientTimeouts
    from bascule.config.model import Config as Config
    from bascule.config.model import DnsSource as DnsSource
    from bascule.config.model import Ejection as Ejection
    from bascule.config.model import Endpoint as Endpoint
    from bascule.config.model import Expect as Expect
    from bascule.config.model import ExternalAccount as ExternalAccount
    from bascule.config.model import FileSource as FileSource
    from bascule.config.model import Forwarded as Forwarded
    from bascule.config.model import HeaderEdits as HeaderEdits
    from bascule.config.model import Hedge as Hedge
    from bascule.config.model import Hsts as Hsts
    from bascule.config.model import IdleConnections as IdleConnections
    from bascule.config.model import KeyBy as KeyBy
    from bascule.config.model import Listener as Listener
    from bascule.config.model import ListenerTls as ListenerTls
    from bascule.config.model import LoadUrl as LoadUrl
    from bascule.config.model import Match as Match
    from bascule.config.model import Mirror as Mirror
    from bascule.config.model import OtherSource as OtherSource
    from bascule.config.model import PathTest as PathTest
    from bascule.config.model import Pool as Pool
    from bascule.config.model import PoolTls as PoolTls
    from bascule.config.model import PrefixChange as PrefixChange
    from bascule.config.model import Queue as Queue
    from bascule.config.model import RateLimit as RateLimit
    from bascule.config.model import Redirect as Redirect
    from bascule.config.model import Respond as Respond
    from bascule.config.model import Retries as Retries
    from bascule.config.model import Rewrite as Rewrite
    from bascule.config.model import Route as Route
    from bascule.config.model import RouteTimeouts as RouteTimeouts
    from bascule.config.model import Sessions as Sessions
    from bascule.config.model import SrvSource as SrvSource
    from bascule.config.model import Stop as Stop
    from bascule.config.model import Store as Store
    from bascule.config.model import Subset as Subset
    from bascule.config.model import TicketKey as TicketKey
    from bascule.config.model import Tickets as Tickets
    from bascule.config.model import Udp as Udp
    from bascule.config.model import ValueTest as ValueTest
    from bascule.config.own_check import check as check

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: pydantic costs more than the rest of the program's start.
    if name == "check":
        return import_module("bascule.config.own_check").check
    if name[:1].isupper():
        model = import_module("bascule.config.model")
        if name in model.__all__:
            return getattr(model, name)
    raise AttributeError(f"module 'bascule' has no attribute {name!r}")
