"""An endpoint that speaks TLS: answers every request with what it knows of the connection, as JSON."""

import contextlib
import json
import socket
import ssl
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.certificates import Authority, Issued
from tests.support.endpoints import response
from tests.support.eventually import PATIENCE
from tests.support.proxy_header import Header, read_header
from tests.support.strict import Ended, Stream, read_request


class SecureEndpoint:
    """Listens on a free port of 127.0.0.1 while the `with` lasts, one thread per connection."""

    def __init__(
        self,
        issued: Issued,
        folder: Path,
        *,
        clients: Authority | None = None,
        newest: ssl.TLSVersion | None = None,
        announced: bool = False,
    ) -> None:
        """With `announced` a PROXY header has to come before TLS."""
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(issued.write(folder, f"endpoint-{id(self)}"))
        self._context.set_alpn_protocols(["http/1.1"])
        if newest is not None:
            self._context.maximum_version = newest
        if clients is not None:
            self._context.load_verify_locations(cadata=clients.pem)
            self._context.verify_mode = ssl.CERT_REQUIRED
        self._announced = announced
        self.headers: list[Header] = []
        """PROXY headers that came."""
        self._asked: str | None = None
        self._context.sni_callback = self._note_name
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.connections = 0
        self.resumed = 0
        self.faults: list[str] = []

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._listening.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listening.close()

    def _note_name(self, _socket: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        self._asked = name

    def _accept(self) -> None:
        while True:
            try:
                plain, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(plain,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        plain.settimeout(PATIENCE)
        try:
            if self._announced:
                # One byte at a time: what follows belongs to TLS.
                self.headers.append(read_header(Stream(lambda: plain.recv(1))))
            with self._context.wrap_socket(plain, server_side=True) as secure:
                self.connections += 1
                self.resumed += bool(secure.session_reused)
                with contextlib.suppress(Ended, OSError):
                    self._answer(secure)
        except OSError as error:
            self.faults.append(str(error))
            plain.close()

    def _answer(self, secure: ssl.SSLSocket) -> None:
        stream = Stream(lambda: secure.recv(65536))
        while True:
            asked = read_request(stream)
            shown = secure.getpeercert()
            told = {
                "path": asked.target,
                "name": self._asked,
                "alpn": secure.selected_alpn_protocol(),
                "client": shown and shown.get("subjectAltName"),
                "version": secure.version(),
            }
            secure.sendall(response("200 OK", json.dumps(told).encode()))
