"""What a check's connection begins with where its pool announces clients: a PROXY header that names none."""

import socket

from bascule import contract

_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_LOCAL = _SIGNATURE + b"\x20\x00\x00\x00"


def header(version: contract.ProxyVersion, connection: socket.socket) -> bytes:
    """The header of a connection that is ours.

    Version 2 says just that (LOCAL). Version 1 has no word that every server takes, so that it names us, as
    the specification advises (2.1); over a Unix socket it is UNKNOWN.
    """
    if version == "v2":
        return _LOCAL
    if connection.family not in (socket.AF_INET, socket.AF_INET6):
        return b"PROXY UNKNOWN\r\n"
    family = "TCP4" if connection.family == socket.AF_INET else "TCP6"
    (source, source_port), (destination, port) = connection.getsockname()[:2], connection.getpeername()[:2]
    own, other = source.partition("%")[0], destination.partition("%")[0]
    return f"PROXY {family} {own} {other} {source_port} {port}\r\n".encode()
