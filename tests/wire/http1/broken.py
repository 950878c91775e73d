"""Answers that break the protocol, as an endpoint would send them: name, bytes, how the exchange ends."""

_OK = b"HTTP/1.1 200 OK\r\n"
_CHUNKED = _OK + b"Transfer-Encoding: chunked\r\n\r\n"

SPLIT = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nSMUGGLED"
"""Follows every broken answer: a client that reads it has got an answer that nobody gave."""

BROKEN_HEADS = [
    ("no HTTP at all", b"220 mail.example.com ESMTP\r\n\r\n"),
    ("a body alone", b"<html></html>\r\n\r\n"),
    ("bytes of TLS", b"\x15\x03\x01\x00\x02\x02\x28\r\n\r\n"),
    ("HTTP/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("HTTP/0.9", b"HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("an ICY version", b"ICY 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a version in lower case", b"http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("an empty line before the status line", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a status of two digits", b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a status of four digits", b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a status below 100", b"HTTP/1.1 099 Odd\r\nContent-Length: 2\r\n\r\nok"),
    ("a status in letters", b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a status with a sign", b"HTTP/1.1 +20 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("two spaces before the status", b"HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok"),
    ("a NUL in the reason", b"HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok"),
    ("a bare CR in the reason", b"HTTP/1.1 200 O\rK\r\nContent-Length: 2\r\n\r\nok"),
    ("a bare LF behind the status line", b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok"),
    ("a bare LF behind a field", _OK + b"X: y\nContent-Length: 2\r\n\r\nok"),
    ("a bare LF at the end of the head", _OK + b"Content-Length: 2\r\n\nok"),
    ("a bare CR in a value", _OK + b"X: y\rSet-Cookie: a=b\r\nContent-Length: 2\r\n\r\nok"),
    ("a NUL in a value", _OK + b"X: \0\r\nContent-Length: 2\r\n\r\nok"),
    ("a control character in a value", _OK + b"X: \x01\r\nContent-Length: 2\r\n\r\nok"),
    ("a folded field", _OK + b"X: y\r\n z\r\nContent-Length: 2\r\n\r\nok"),
    ("a blank before a colon", _OK + b"Content-Length : 2\r\n\r\nok"),
    ("a field without a colon", _OK + b"X\r\nContent-Length: 2\r\n\r\nok"),
    ("a field without a name", _OK + b": x\r\nContent-Length: 2\r\n\r\nok"),
    ("a name with a blank", _OK + b"X Y: z\r\nContent-Length: 2\r\n\r\nok"),
    ("a length beside a coding", _OK + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("two lengths", _OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok!"),
    ("the same length twice", _OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok"),
    ("a list of lengths", _OK + b"Content-Length: 2, 2\r\n\r\nok"),
    ("a negative length", _OK + b"Content-Length: -2\r\n\r\nok"),
    ("a length with a plus", _OK + b"Content-Length: +2\r\n\r\nok"),
    ("an empty length", _OK + b"Content-Length:\r\n\r\nok"),
    ("a length beyond 64 bits", _OK + b"Content-Length: 18446744073709551618\r\n\r\nok"),
    ("a coding that is not chunked", _OK + b"Transfer-Encoding: gzip\r\n\r\nok"),
    ("a coding before chunked", _OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("chunked twice", _OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("a coding in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    (
        "a 101 that nobody asked for",
        b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    ),
    ("a flood of interim answers", b"HTTP/1.1 102 Processing\r\n\r\n" * 20),
    ("a flood of hints", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 20),
    ("a broken head behind an interim one", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\n\r\n"),
    ("an interim answer with a coding of its own", b"HTTP/1.1 103 Early\r\nTransfer-Encoding: gzip\r\n\r\n"),
    ("a head without end", _OK + b"X: y\r\n" * 20_000),
    ("a line without end", _OK + b"X: " + b"y" * 100_000),
    ("too many fields", _OK + b"".join(b"X%d: y\r\n" % n for n in range(300)) + b"\r\n"),
]
"""The client gets 502, whatever follows."""

BROKEN_BODIES = [
    ("a size that is no number", _CHUNKED + b"5\r\nhello\r\nx\r\n"),
    ("no size", _CHUNKED + b"5\r\nhello\r\n\r\n"),
    ("a size with a plus", _CHUNKED + b"5\r\nhello\r\n+5\r\nhello\r\n"),
    ("a size beyond 64 bits", _CHUNKED + b"5\r\nhello\r\n10000000000000000\r\n"),
    ("a bare LF behind a size", _CHUNKED + b"5\nhello\r\n0\r\n\r\n"),
    ("a bare LF behind a chunk", _CHUNKED + b"5\r\nhello\n0\r\n\r\n"),
    ("a chunk longer than its size", _CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n"),
    ("a bare LF in an extension", _CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n"),
    ("a flood of extensions", _CHUNKED + (b"1;" + b"a" * 99 + b"\r\nx\r\n") * 500),
    ("a folded trailer", _CHUNKED + b"5\r\nhello\r\n0\r\nX: y\r\n z\r\n\r\n"),
    ("a trailer without a colon", _CHUNKED + b"5\r\nhello\r\n0\r\nX\r\n\r\n"),
    ("a bare LF in a trailer", _CHUNKED + b"5\r\nhello\r\n0\r\nX: y\n\r\n"),
    ("trailers without end", _CHUNKED + b"5\r\nhello\r\n0\r\n" + b"X: y\r\n" * 5_000),
]
"""The head may have gone out: then the client gets a part that it cannot take for the whole."""

CUT_SHORT = [
    ("nothing", b"", "endpoint_closed"),
    ("half a status line", b"HTTP/1.1 2", "endpoint_closed"),
    ("half a head", _OK + b"Content-Le", "endpoint_closed"),
    ("a head without its empty line", _OK + b"Content-Length: 2\r\n", "endpoint_closed"),
    ("an interim answer alone", b"HTTP/1.1 103 Early Hints\r\n\r\n", "endpoint_closed"),
    ("half a body", _OK + b"Content-Length: 10\r\n\r\nhello", "response_cut"),
    ("a head without its body", _OK + b"Content-Length: 10\r\n\r\n", "response_cut"),
    ("half a chunk", _CHUNKED + b"a\r\nhello", "response_cut"),
    ("half a size", _CHUNKED + b"5\r\nhello\r\n1", "response_cut"),
    ("chunks without the last one", _CHUNKED + b"5\r\nhello\r\n", "response_cut"),
    ("a last chunk without its empty line", _CHUNKED + b"5\r\nhello\r\n0\r\n", "response_cut"),
]
"""Then the endpoint closes."""
