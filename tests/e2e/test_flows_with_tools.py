"""The guide to TCP as somebody tries it out: with curl and openssl, against the whole program."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.support.certificates import Authority
from tests.support.processes import Program
from tests.support.program import Bascule, ToyEndpoint, free_port
from tests.support.tls import curl, openssl

AUTHORITY = Authority()
SITE, DATABASE = AUTHORITY.issue("site.test"), AUTHORITY.issue("db.test")


@contextmanager
def tls_server(folder: Path) -> Iterator[str]:
    """`openssl s_server`, which says back each line, its letters in reverse. Gives its address."""
    address = f"127.0.0.1:{free_port()}"
    own = DATABASE.write(folder, "db")
    with Program(["openssl", "s_server", "-accept", address, "-cert", own, "-rev"]) as server:
        server.line(0)
        yield address


@contextmanager
def running(folder: Path, toy: ToyEndpoint, database: str) -> Iterator[Bascule]:
    """One port: what is for `db.test` is passed on, the rest is decrypted."""
    SITE.write(folder, "site")
    AUTHORITY.write(folder)
    (folder / "bascule.yaml").write_text(f"""\
listeners:
  tls:
    bind: 127.0.0.1:0
    protocol: tcp
    tls: {{certificates: site.pem}}
    passthrough: [{{match: {{sni: db.test}}, pool: database}}]
    pool: site
pools:
  site: {{endpoints: ["{toy.name}"]}}
  database: {{endpoints: ["{database}"]}}
access_log: off
""")
    with Bascule(folder, "run") as bascule:
        yield bascule.ready()


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_and_openssl_reach_what_they_ask_for_on_one_port(
    folder: Path, toys: list[ToyEndpoint], version: str
) -> None:
    with tls_server(folder) as database, running(folder, toys[0], database) as bascule:
        address = bascule.address()
        asked = curl(address, folder / "ca.pem", f"--tlsv{version}", "--tls-max", version, name="site.test")
        assert (asked.returncode, toys[0].asked()) == (0, 1), asked.stderr
        verified = (
            "-CAfile",
            str(folder / "ca.pem"),
            "-verify_return_error",
            f"-tls{version.replace('.', '_')}",
        )
        words = (*verified, "-servername", "db.test", "-verify_hostname", "db.test", "-ign_eof")
        said = openssl(address, *words, say="stressed\nCLOSE\n")
        assert "Verification: OK" in said
        assert "desserts" in said
        assert "verify error" in openssl(address, *verified, "-verify_hostname", "db.test")
