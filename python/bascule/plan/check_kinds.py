"""What the checks that are no HTTP are asked to do: the model's questions → the options of each check."""

from collections.abc import Mapping
from typing import Any

from bascule.config.database_checks import DatabaseQuestion, RedisQuestion
from bascule.config.model import Answer, Check, Content, DnsQuestion, TcpQuestion, TlsQuestion, UdpQuestion

_SHARE_OF_SILENCE = 3, 4
"""Of the time limit: who may be silent must have been so before the limit says that the check has failed."""


def plan_options(check: Check) -> Mapping[str, object]:
    """The options of a check, by the table in `bascule.plan.build`. Not for `http`, `python` and `kind`."""
    if check.command is not None:
        return {"command": list(check.command), "env": dict(check.env)}
    if check.database is not None:
        return _database(check.database)
    question = check.tcp or check.tls or check.udp or check.dns
    match question:
        case TcpQuestion():
            return _given(send=_content(question.send), expect=_answer(question.expect))
        case TlsQuestion():
            return _given(min_days=question.min_days)
        case UdpQuestion():
            few, many = _SHARE_OF_SILENCE
            silence = max(1, check.timeout * few // many) if question.silence == "pass" else None
            expect = _answer(question.expect)
            return _given(send=_content(question.send), expect=expect, silence_ms=silence)
        case DnsQuestion():
            return {
                "name": question.name,
                "type": question.type,
                "expect": list(question.expect),
                "transport": question.transport,
            }
        case _:
            raise AssertionError(f"a check that asks nothing: {check}")


def _database(question: DatabaseQuestion) -> Mapping[str, object]:
    options = {
        "role": question.role,
        "max_lag_ms": question.max_lag,
        "user": getattr(question, "user", None),
        "password": question.password,
        "database": getattr(question, "database", None),
    }
    if isinstance(question, RedisQuestion):
        options |= {
            "max_lag_bytes": question.max_lag_bytes,
            "sentinels": None if question.sentinel is None else list(question.sentinel),
            "service": question.service,
            "sentinel_password": question.sentinel_password,
        }
    return _given(**options)


def _content(content: Content | None) -> dict[str, str] | None:
    return None if content is None else _given(text=content.text, hex=content.hex)


def _answer(answer: Answer | None) -> dict[str, str] | None:
    return None if answer is None else _given(text=answer.text, hex=answer.hex, regex=answer.regex)


def _given(**options: Any) -> dict[str, Any]:
    return {key: value for key, value in options.items() if value is not None}
