"""Debian's pebble, an ACME server for tests, with a DNS server of its own."""

import json
import os
import random
import shutil
import socket
import ssl
import subprocess
import time
import urllib.request
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from tests.support.eventually import eventually

from bascule.certificates import self_signed

HMAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


def reserved_port() -> int:
    """A port that nobody else is given meanwhile: pebble cannot be told to let the system choose."""
    # Below those that the system gives to clients, and to whom asks for port zero.
    while True:
        port = random.randrange(12_000, 32_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Pebble:
    """An authority that looks on `http_port` and `tls_port` of this machine, whatever the name."""

    def __init__(self, folder: Path, *, lasts_s: int = 3600, accounts: bool = False) -> None:
        self._folder = folder
        self._lasts_s = lasts_s
        self._accounts = accounts
        self._ending = ExitStack()
        self.http_port, self.tls_port = reserved_port(), reserved_port()
        self._port, self._management, self._names, self._dns_port = (reserved_port() for _ in range(4))
        self.ca = folder / "pebble-server.pem"
        self.directory = f"https://127.0.0.1:{self._port}/dir"

    def __enter__(self) -> Self:
        with self._ending:
            self._certify()
            self.start()
            self._ending = self._ending.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.close()

    def start(self) -> None:
        """Starts it; all that it knew is forgotten."""
        settings = {
            "listenAddress": f"127.0.0.1:{self._port}",
            "managementListenAddress": f"127.0.0.1:{self._management}",
            "certificate": str(self.ca),
            "privateKey": str(self._folder / "pebble-server.key"),
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "certificateValidityPeriod": self._lasts_s,
            "externalAccountBindingRequired": self._accounts,
            "externalAccountMACKeys": {"kid-1": HMAC_KEY} if self._accounts else {},
        }
        file = self._folder / "pebble.json"
        file.write_text(json.dumps({"pebble": settings}))
        self._run(
            "pebble-challtestsrv",
            *("-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""),
            *("-management", f"127.0.0.1:{self._names}", "-dns01", f"127.0.0.1:{self._dns_port}"),
        )
        self._run("pebble", "-config", str(file), "-dnsserver", f"127.0.0.1:{self._dns_port}")
        for port in (self._port, self._management, self._names):
            eventually(partial(_accepts, port), f"pebble does not listen on {port}")

    def stop(self) -> None:
        """Stops it: nobody answers there any more."""
        self._ending.close()

    def root(self) -> str:
        """The certificate of the authority (PEM), for clients of what it issued."""
        context = ssl.create_default_context(cafile=str(self.ca))
        asked = f"https://127.0.0.1:{self._management}/roots/0"
        with urllib.request.urlopen(asked, context=context) as answer:
            return str(answer.read().decode())

    @property
    def names_port(self) -> int:
        """Where records are set, by a POST of JSON to `/set-txt` and `/clear-txt`."""
        return self._names

    def _certify(self) -> None:
        """The certificate of its API: of an authority of its own, which clients must be told to trust."""
        made = self_signed.issue(["127.0.0.1"], self._folder / "pebble-ca", time.time())
        key = load_pem_private_key(str(made.material.key).encode(), None)
        (self._folder / "pebble-server.key").write_bytes(
            key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        authority = (self._folder / "pebble-ca" / "ca.pem").read_text()
        self.ca.write_text(made.material.chain + authority)

    def _run(self, program: str, *words: str) -> None:
        path = shutil.which(program)
        assert path is not None, f"{program} is not there: apt-get install pebble"
        said = self._ending.enter_context((self._folder / f"{program}.log").open("ab"))
        quick = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0", "PEBBLE_WFE_NONCEREJECT": "0"}
        process = subprocess.Popen([path, *words], env=os.environ | quick, stdout=said, stderr=said)
        self._ending.callback(process.wait, 10)
        self._ending.callback(process.kill)


def _accepts(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
