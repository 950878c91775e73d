"""Looks for private keys in every form in which they could have leaked: PEM, DER, numbers, bytes."""

from collections.abc import Iterator

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)


def leaks(key_pem: str, text: bytes) -> list[str]:
    """The names of all forms of this key that are in the text."""
    return [name for name, form in _forms(key_pem) if form in text]


def _forms(key_pem: str) -> Iterator[tuple[str, bytes]]:
    key = load_pem_private_key(key_pem.encode(), None)
    for form, format in (("PKCS8", PrivateFormat.PKCS8), ("SEC1", PrivateFormat.TraditionalOpenSSL)):
        pem = key.private_bytes(Encoding.PEM, format, NoEncryption()).decode().splitlines()[1:-1]
        der = key.private_bytes(Encoding.DER, format, NoEncryption())
        # The first line and the last hold the kind of key and its public part.
        yield f"{form} base64", pem[len(pem) // 2 - 1 if len(pem) > 3 else 0][40:].encode()
        yield f"{form} DER", der
        yield f"{form} repr", repr(der)[2:-1].encode()
    assert isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey)
    if isinstance(key, ec.EllipticCurvePrivateKey):
        number = key.private_numbers().private_value
    else:
        number = key.private_numbers().d
    raw = number.to_bytes((number.bit_length() + 7) // 8)
    yield "decimal", str(number).encode()
    yield "hex", raw.hex().encode()
    yield "HEX", raw.hex().upper().encode()
    yield "hex with colons", raw.hex(":").encode()
    yield "bytes", raw
    yield "repr of bytes", repr(raw)[2:-1].encode()
