"""What is wrong with a certificate, key or list: the file, what, and what to do. Never anything of a key."""

from dataclasses import dataclass

from bascule.errors import BasculeError


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong."""

    file: str
    what: str
    hint: str | None = None

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


class CertificateRefused(BasculeError):  # noqa: N818 (an answer, as ConfigRefused is)
    """Nothing can be made of a file."""

    def __init__(self, file: str, what: str, hint: str | None = None) -> None:
        super().__init__(f"{file}: {what}", hint)
        self.fault = Fault(file, what, hint)
