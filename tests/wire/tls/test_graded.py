"""What a third party finds: testssl.sh, which `tools/need test` installs."""

import faulthandler
import json
import subprocess
from pathlib import Path

from tests.support.certificates import Authority
from tests.support.plane import RunningPlane, listener, route
from tests.support.processes import tool
from tests.support.tls import listener_tls, material

from bascule import contract

SECTIONS = ("--protocols", "--std", "--server-preference", "--pfs", "--server-defaults", "--vulnerable")
"""What is ours to answer for: not the headers of a site, nor how its authority is asked about revocations."""
NOT_OURS = ("cert_revocation", "engine_problem", "scanTime")
LONGEST_S = 300


def test_testssl_finds_nothing_above_low(tmp_path: Path) -> None:
    faulthandler.dump_traceback_later(LONGEST_S, exit=True)
    authority = Authority()
    served = {kind: authority.issue("a.test", kind=kind) for kind in ("ecdsa", "rsa")}
    tls = listener_tls(*((kind, ("a.test",)) for kind in served), defaults=tuple(served))
    hello = route(contract.RespondAction(200, (), "hello"))
    given = [material(kind, issued) for kind, issued in served.items()]
    with RunningPlane([], [listener(hello, tls=tls)], material=given) as running:
        port = running.address().rpartition(":")[2]
        said = subprocess.run(
            [
                tool("testssl"), "--quiet", "--color", "0", "--warnings", "off", "--nodns", "none", *SECTIONS,
                "--jsonfile", f"{tmp_path}/found.json", "--add-ca", str(authority.write(tmp_path)),
                "--ip", "127.0.0.1", f"a.test:{port}",
            ],
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )  # fmt: skip
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found) > 50, said.stdout
    grave = [it for it in found if it["severity"] in ("MEDIUM", "HIGH", "CRITICAL", "FATAL")]
    assert [it for it in grave if not it["id"].startswith(NOT_OURS)] == []
