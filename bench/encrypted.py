"""Clients that speak TLS, wrk for HTTP/1.1 and h2load for HTTP/2, and the certificate they are shown."""

import re
import subprocess
from collections.abc import Mapping

from bench.load import BUILT, Failed, pinned
from bench.measure import LOAD_CPU
from bench.wanted import Load

CERTIFICATE = BUILT / "tls" / "certificate.pem"
KEY = BUILT / "tls" / "key.pem"
BOTH = BUILT / "tls" / "both.pem"
"""Key and certificate in one file, as HAProxy reads them."""
HEADERS = (
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
    "Accept-Language: en-US,en;q=0.5",
    "Accept-Encoding: gzip, deflate, br",
    "Cookie: sid=a1b2c3d4e5f60718; theme=dark",
    "Cache-Control: no-cache",
)
UNITS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6}


def make_certificate() -> None:
    """A self-signed certificate for P-256, made once."""
    if BOTH.exists():
        return
    CERTIFICATE.parent.mkdir(parents=True, exist_ok=True)
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 -subj /CN=lab.test "
        "-addext subjectAltName=DNS:lab.test,IP:127.0.0.1"
    )
    made = subprocess.run(
        [*command.split(), "-keyout", str(KEY), "-out", str(CERTIFICATE)],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        raise Failed(f"openssl makes no certificate: {made.stderr.strip()}")
    BOTH.write_text(KEY.read_text() + CERTIFICATE.read_text())


def send(load: Load, port: int, seconds: float) -> Mapping[str, float]:
    """Makes requests for `seconds`, whole ones, and gives the same as `bench.load.send`, without `max_us`."""
    url = f"https://127.0.0.1:{port}{load.path}"
    whole = max(1, round(seconds))
    headers = [text for header in HEADERS for text in ("-H", header)]
    if load.streams:
        options = ["-t1", f"-c{load.connections}", f"-m{load.streams}", "-D", str(whole)]
        return parse_h2load(_run(["h2load", *options, *headers, url]))
    if load.fresh:
        headers += ["-H", "Connection: close"]
    options = ["-t1", f"-c{load.connections}", f"-d{whole}", "--latency"]
    return parse_wrk(_run(["wrk", *options, *headers, url]))


def parse_wrk(text: str) -> Mapping[str, float]:
    """What wrk says. Raises `Failed` where that is not understood."""
    total = re.search(r"(\d+) requests in ([\d.]+\w+), ([\d.]+)([KMG]?)B read", text)
    median, slow = (re.search(rf"^\s+{share}%\s+(\S+)$", text, re.MULTILINE) for share in (50, 99))
    if total is None or median is None or slow is None:
        raise Failed(f"wrk said: {text.strip()[-500:]}")
    refused = re.findall(r"(?:connect|read|write|timeout|responses:) (\d+)", text)
    return {
        "requests": float(total[1]),
        "seconds": _microseconds(total[2]) / 1e6,
        "errors": sum(map(float, refused)),
        "bytes": float(total[3]) * 1024 ** "_KMG".index(total[4] or "_"),
        "p50_us": _microseconds(median[1]),
        "p99_us": _microseconds(slow[1]),
    }


def parse_h2load(text: str) -> Mapping[str, float]:
    """What h2load says; it knows no percentiles. Raises `Failed` where that is not HTTP/2, or not clear."""
    took = re.search(r"finished in ([\d.]+\w+)", text)
    counted = re.search(r"(\d+) done, (\d+) succeeded, (\d+) failed, \d+ errored", text)
    traffic = re.search(r"\((\d+)\) total, ", text)
    if took is None or counted is None or traffic is None or "Application protocol: h2" not in text:
        raise Failed(f"h2load said: {text.strip()[-500:]}")
    return {
        "requests": float(counted[2]),
        "seconds": _microseconds(took[1]) / 1e6,
        "errors": float(counted[3]),
        "bytes": float(traffic[1]),
    }


def _run(command: list[str]) -> str:
    with pinned(LOAD_CPU):
        ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Failed(f"{command[0]} gave up: {ran.stderr.strip()}")
    return ran.stdout


def _microseconds(text: str) -> float:
    found = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text)
    if found is None:
        raise Failed(f"not a time: {text}")
    return float(found[1]) * UNITS[found[2]]
