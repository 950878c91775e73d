"""Where everything lies in the storage directory. Pure; several balancers may share one."""

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

CHALLENGES = "challenges"


def home(storage: str, directory: str) -> Path:
    """Of one authority: another directory is another account, with other certificates."""
    parts = urlsplit(directory)
    readable = re.sub(r"[^a-z0-9.-]+", "-", f"{parts.netloc}{parts.path}".lower()).strip("-.")
    return Path(storage) / f"{readable[:80]}-{_mark(directory)}"


def certificate_file(storage: str, directory: str, names: tuple[str, ...]) -> Path:
    """The certificate with its chain and key."""
    return home(storage, directory) / "certificates" / f"{stem(names)}.pem"


def stem(names: tuple[str, ...]) -> str:
    """What the files of an order begin with: the same names in another order are the same certificate."""
    # An underscore is in no host name that is issued for.
    shortest = min(names, key=lambda name: (len(name), name)).replace("*", "_")
    return shortest if len(names) == 1 else f"{shortest}+{_mark(*sorted(names))}"


def of_other_authorities(file: Path) -> list[Path]:
    """Certificates for the same names that were ordered elsewhere, the newest first. Blocks on files."""
    others = [it for it in file.parents[2].glob(f"*/certificates/{file.name}") if it != file]
    return sorted(others, key=lambda it: it.stat().st_mtime, reverse=True)


def _mark(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:8]
