"""`bascule upgrade`: the installed version takes over from the running one."""

import sys
import time

from bascule.cli import ask, options
from bascule.cli.exits import TimedOut


def command(
    admin: options.Admin = None,
    quiet: options.Quiet = False,
    timeout: options.Timeout = 150.0,
) -> None:
    """Start the program anew as it is installed now, and let it take over. No connection is lost.

    The new process gets the listening sockets. Once it serves, the old one finishes what it has in flight
    within its grace time, and ends. A new process that fails leaves the old one serving. SIGUSR2 does the
    same.

    \b
    Example: bascule upgrade --timeout 60
    """
    address = ask.where(admin)
    until = time.monotonic() + timeout
    before = ask.ask(address, "GET", "/status", timeout_s=timeout).body
    process = ask.ask(address, "POST", "/upgrade", timeout_s=timeout).body["process"]
    # Whoever answers is the new one as soon as the old one has let go of the admin address.
    while (now := ask.ask(address, "GET", "/status", timeout_s=timeout).body)["process"] != process:
        if time.monotonic() > until:
            raise TimedOut(f"process {process} serves, but does not answer on {address}", "look at its log")
        time.sleep(0.05)
    if not quiet:
        versions = f"version {before['version']} → {now['version']}"
        print(f"process {before['process']} → {process}, {versions}", file=sys.stderr)
