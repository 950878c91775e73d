"""Where our own log lines go and how they look: for people on a terminal, JSON everywhere else."""

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

_LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(0x20), 0x7F, *range(0x80, 0xA0)) if code != 0x09}


def configure(level: str, stream: TextIO | None = None) -> None:
    """Sends all log lines of this process to `stream` (standard error), from `level` on.

    Lines made with the standard library's `logging` come out in the same form. May be called again.
    """
    out = stream if stream is not None else sys.stderr
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    sink = logging.StreamHandler(out)
    sink.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                *_look(out),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [sink]
    set_level(level)
    # Uvicorn tells its own life at level info; ours is told by the supervisor.
    for noisy in ("uvicorn", "uvicorn.error", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def set_level(level: str) -> None:
    """Says lines from `level` on: `debug`, `info`, `warning` or `error`."""
    logging.getLogger().setLevel(_LEVELS[level])


def escape_control(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Makes control characters visible: what an endpoint or a file says must not steer a terminal."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = value.translate(_CONTROL)
    return event


def _look(out: TextIO) -> list[Any]:
    if not out.isatty():
        return [
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(sort_keys=True),
        ]
    return [escape_control, structlog.dev.ConsoleRenderer(colors=True, timestamp_key="time")]
