"""Certificates over the admin API: taken, shown at once, listed, removed; each with a line in the log."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import structlog

from bascule.certificates.store import Certificates
from bascule.control.lookup import NotThere
from bascule.errors import BasculeError
from bascule.observe import certificates as told
from bascule.plan.plan import Plan

if TYPE_CHECKING:
    from bascule.certificates.certificate import Certificate
    from bascule.certificates.uploads import Uploads

log = structlog.get_logger("bascule.certificates")


class HandingOver:
    """One change at a time. Loads nothing heavy before it is asked."""

    def __init__(
        self,
        plan: Callable[[], Plan],
        certificates: Certificates,
        show: Callable[[], Awaitable[None]],
        wall: Callable[[], float] = time.time,
    ) -> None:
        """`show` reads the files of the plan again, and returns when clients are shown what is in them."""
        self._plan = plan
        self._certificates = certificates
        self._show = show
        self._wall = wall
        self._turn = asyncio.Lock()

    def every(self) -> dict[str, Any]:
        """All certificates in use, by whom, and until when. Those that were handed over have a name."""
        directory = self._plan().admin.certificates
        uploads = None if directory is None else self._uploads()
        return {
            "directory": directory,
            "certificates": [
                {"name": None if uploads is None else uploads.name_of(str(each["file"])), **each}
                for each in told.describe(self._certificates.served, self._wall())
            ],
            "problems": self._certificates.problems(),
        }

    async def one(self, name: str) -> dict[str, Any]:
        """Raises `NotThere`."""
        uploads = self._uploads()
        return self._told(uploads, name, await self._find(uploads, name))

    async def put(self, name: str, content: bytes, who: str) -> tuple[dict[str, Any], bool]:
        """Takes one in the place of that of its name. What is answered is shown; true: the name is new.

        Raises `CertificateRefused`, or another `BasculeError`, and leaves everything as it was.
        """
        async with self._turn:
            uploads = self._uploads()
            certificate = await asyncio.to_thread(uploads.check, name, content, self._wall())
            before = await asyncio.to_thread(uploads.keep, name, certificate)
            await self._show_or_put_back(uploads, name, before)
            self._say("certificate handed over", name, certificate, who)
            return self._told(uploads, name, certificate), before is None

    async def remove(self, name: str, who: str) -> dict[str, Any]:
        """Clients are not shown it any more. Gives what it was. Raises `NotThere`."""
        async with self._turn:
            uploads = self._uploads()
            certificate = await self._find(uploads, name)
            before = await asyncio.to_thread(uploads.file(name).read_bytes)
            await asyncio.to_thread(uploads.put_back, name, None)
            await self._show_or_put_back(uploads, name, before)
            self._say("certificate removed", name, certificate, who)
            return self._told(uploads, name, certificate)

    async def _show_or_put_back(self, uploads: "Uploads", name: str, before: bytes | None) -> None:
        try:
            await self._show()
        except BasculeError:
            await asyncio.to_thread(uploads.put_back, name, before)
            await self._show()
            raise

    async def _find(self, uploads: "Uploads", name: str) -> "Certificate":
        found = await asyncio.to_thread(uploads.find, name, self._wall())
        if found is None:
            raise NotThere(f'no certificate called "{name}" was handed over', f"in {uploads.directory}")
        return found

    def _uploads(self) -> "Uploads":
        from bascule.certificates.uploads import Uploads  # noqa: PLC0415 (only where it is asked for)

        directory = self._plan().admin.certificates
        if directory is None:
            raise BasculeError(
                "this balancer takes no certificates: no directory is named for them",
                "write admin: {certificates: DIRECTORY}, and name it among the certificates of a listener",
            )
        return Uploads(Path(directory))

    def _told(self, uploads: "Uploads", name: str, certificate: "Certificate") -> dict[str, Any]:
        file = str(uploads.file(name))
        used_by = [it.owner for it in self._certificates.served if it.certificate.id == certificate.id]
        doubts = [doubt.what for doubt in certificate.doubts]
        if not used_by and Path(file).exists():
            doubts.append(f"nobody shows it: no listener names {uploads.directory} among its certificates")
        about = told.one(certificate, self._wall())
        return {"name": name, "used_by": used_by, **about, "file": file, "warnings": doubts}

    def _say(self, what: str, name: str, certificate: "Certificate", who: str) -> None:
        from bascule.certificates.certificate import on_day  # noqa: PLC0415 (only where it is asked for)

        log.info(
            what,
            name=name,
            names=", ".join(certificate.names[:3]),
            serial=certificate.serial,
            until=on_day(certificate.not_after),
            by=who,
        )
