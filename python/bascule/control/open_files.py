"""How many files, sockets among them, this process may have open."""

import resource

import structlog

log = structlog.get_logger("bascule.control")

FEW = 4096
"""Below this, a busy balancer runs out: each exchange may hold two connections."""


def raise_limit() -> int:
    """Raises the soft limit to the hard one, and warns when even that is little. The limit from now on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        # Some systems allow less than they say.
        hard = soft
    if 0 <= hard < FEW:
        log.warning(
            "few files may be open, and every connection is one",
            limit=hard,
            hint="raise it: LimitNOFILE=65536 in a systemd unit, `ulimit -Hn 65536` in a shell",
        )
    return hard
