"""What is written down of each exchange and flow."""

from dataclasses import dataclass
from typing import Literal

AccessLogFormat = Literal["json", "combined"]
"""One JSON object a line, or Apache's and nginx's combined format."""


@dataclass(frozen=True, slots=True)
class AccessLog:
    """Where each exchange is written down."""

    format: AccessLogFormat
    """The shape of a line; one line per exchange."""
    path: str | None = None
    """Absolute path; `None` is standard output."""
