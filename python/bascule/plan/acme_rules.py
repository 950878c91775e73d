"""What may not be of ACME: orders that nobody can fulfil, and settings without effect. Reads files."""

import ast
from collections.abc import Iterator
from pathlib import Path

from bascule import contract
from bascule.config.addresses import each_port
from bascule.config.model import Acme, Config, Listener
from bascule.config.problems import Problem
from bascule.wording import in_words

HOOKS = ("present", "remove")
PORTS = {"http-01": 80, "tls-alpn-01": 443}
"""Where authorities look."""


def orders_go_somewhere(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Who wants certificates says where they are ordered, and who says so wants some."""
    wanted = [name for name, it in config.listeners.items() if it.tls is not None and it.tls.acme]
    if config.acme is None:
        for name in wanted:
            at = config.places.key(("listeners", name, "tls", "acme"))
            hint = "add at the top: acme: {email: ops@example.com, terms_agreed: true}"
            yield at.problem("it is not said where these certificates are ordered", hint)
    elif not wanted:
        what = "nothing is ordered: no listener names certificates"
        hint = "add tls: {acme: shop.example.com} to one, or remove it"
        yield config.places.key(("acme",)).problem(what, hint, "warning")


def names_can_be_proven(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """Wildcards need DNS-01 (RFC 8555, 7.1.3), the other challenges a listener that authorities can reach."""
    acme = config.acme
    if acme is None or acme.challenge == "dns-01":
        return
    for name, listener in config.listeners.items():
        for at, names in enumerate(() if listener.tls is None else listener.tls.acme):
            for position, each in enumerate(names):
                if each.startswith("*."):
                    path = ("listeners", name, "tls", "acme", at, position)
                    what = f"authorities issue for wildcards with dns-01 only, not with {acme.challenge}"
                    hint = "name the hosts, or write acme: {challenge: dns-01, dns_hook: …}"
                    yield config.places.value(path).problem(what, hint)


def authorities_can_look(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """There is a listener that answers them, on the port where they ask."""
    acme = config.acme
    if acme is None or acme.challenge == "dns-01":
        return
    over_tls = acme.challenge == "tls-alpn-01"
    answering = [it for it in config.listeners.values() if (it.tls is not None) == over_tls]
    port, span = PORTS[acme.challenge], config.places.value(("acme", "challenge"))
    if not answering:
        # Without `tls` there is no order either, which is told elsewhere.
        if not over_tls:
            what = "http-01 is answered by listeners without `tls`, and there is none"
            hint = f'add one: {{bind: ":{port}", redirect_to_https: true}}; or write challenge: tls-alpn-01'
            yield span.problem(what, hint)
    # An authority of one's own may ask elsewhere, and so may who forwards the port.
    elif acme.ca is None and not any(_is_on(it, port) for it in answering):
        what = (
            f"authorities ask on port {port}, where no listener {'with' if over_tls else 'without'} `tls` is"
        )
        yield span.problem(what, f"bind one there, or forward port {port} to one", "warning")


def files_of_acme_can_be_read(config: Config, _: contract.Catalog) -> Iterator[Problem]:
    """The authorities to trust and the hook are there. The hook is not run: it may do anything."""
    acme = config.acme
    if acme is None:
        return
    if acme.ca is not None:
        yield from _authorities(config, acme.ca)
    if acme.dns_hook is not None:
        yield from _hook(config, acme.dns_hook)
    yield from _storage(config, acme)


def _authorities(config: Config, ca: str) -> Iterator[Problem]:
    from bascule.certificates.fault import CertificateRefused  # noqa: PLC0415 (few configurations need it)
    from bascule.certificates.read import read_authorities  # noqa: PLC0415

    try:
        read_authorities((config.places.beside(("acme", "ca"), ca),), (), 0)
    except CertificateRefused as refused:
        yield config.places.value(("acme", "ca")).problem(str(refused.fault), refused.hint)


def _hook(config: Config, file: str) -> Iterator[Problem]:
    span = config.places.value(("acme", "dns_hook"))
    path = config.places.beside(("acme", "dns_hook"), file)
    try:
        tree = ast.parse(Path(path).read_bytes(), path)
    except OSError as error:
        yield span.problem(f"{path}: {in_words(error)}")
        return
    except (SyntaxError, ValueError) as error:
        yield span.problem(f"{path}: is not Python: {error}")
        return
    defined = {it.name for it in tree.body if isinstance(it, ast.FunctionDef | ast.AsyncFunctionDef)}
    imported = {
        it.asname or it.name for each in tree.body if isinstance(each, ast.ImportFrom) for it in each.names
    }
    for missing in (it for it in HOOKS if it not in defined | imported):
        yield span.problem(f"{path}: has no function {missing}", f"add def {missing}(name, value): …")


def _storage(config: Config, acme: Acme) -> Iterator[Problem]:
    if acme.storage is None:
        return
    path = Path(config.places.beside(("acme", "storage"), acme.storage))
    if path.exists() and not path.is_dir():
        yield config.places.value(("acme", "storage")).problem(f"{path}: is not a directory")


def _is_on(listener: Listener, port: int) -> bool:
    addresses = (each for bind in listener.bind if bind.address for each in each_port(bind.address))
    return listener.protocol == "http" and any(each.endswith(f":{port}") for each in addresses)


RULES = (
    orders_go_somewhere,
    names_can_be_proven,
    authorities_can_look,
    files_of_acme_can_be_read,
)
"""Every rule of this file."""
