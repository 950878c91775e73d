"""`bascule reload`: a running balancer reads its configuration again."""

import sys

from bascule.cli import ask, options


def command(
    admin: options.Admin = None, quiet: options.Quiet = False, timeout: options.Timeout = 60.0
) -> None:
    """Let the running balancer read its configuration again, and print what changed.

    Refused whole when anything is wrong: then the old configuration goes on, and the exit code is 1.

    \b
    Example: bascule reload --timeout 120
    """
    answer = ask.ask(ask.where(admin), "POST", "/reload", timeout_s=timeout)
    for warning in answer.body["warnings"]:
        print(warning, file=sys.stderr)
    if quiet:
        return
    for change in answer.body["changes"]:
        print(f"  {change}")
    print(f"reloaded: generation {answer.body['generation']} is live", file=sys.stderr)
