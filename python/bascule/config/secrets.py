"""Keys and passwords: how they are read, and that nobody sees them again."""

from typing import Annotated

from pydantic import (
    AfterValidator,
    BeforeValidator,
    PlainSerializer,
    SerializationInfo,
    StrictStr,
    WithJsonSchema,
)

from bascule.config.concealed import HIDDEN
from bascule.config.problems import Mistake
from bascule.contract import Secret

SHORTEST_KEY = 16
"""Characters of a key. Fewer can be found by trying."""


class SecretMistake(Mistake):
    """A secret is not what it should be. Neither its words nor what is shown of the file may hold it."""


def read_password(value: object) -> str:
    """Any text but an empty one."""
    if value == HIDDEN:
        raise Mistake(
            "this secret was left out where the configuration was printed",
            'write it here, or take it from the environment: "${NAME}"',
        )
    if value in ("", None):
        hint = 'write one; if it is taken from the environment ("${NAME}"), that variable is empty'
        raise SecretMistake("this secret is empty", hint)
    if not isinstance(value, str):
        hint = 'write it in quotes, or take it from the environment: "${NAME}"'
        raise SecretMistake("expected a secret, which is text", hint)
    return value


def read_key(value: object) -> str:
    """A secret that is long enough to be a key."""
    key = read_password(value)
    if len(key.encode(errors="replace")) < SHORTEST_KEY:
        what = f"a key of {len(key)} characters can be guessed; it has at least {SHORTEST_KEY}"
        raise SecretMistake(what, "make one with: openssl rand -base64 32")
    return key


def _written(value: str | None, info: SerializationInfo) -> str | None:
    """Only who asks for secrets gets them."""
    is_asked_for = isinstance(info.context, dict) and info.context.get("secrets")
    return str(value) if value is not None and is_asked_for else value and HIDDEN


Key = Annotated[
    StrictStr,
    BeforeValidator(read_key),
    AfterValidator(Secret),
    PlainSerializer(_written),
    WithJsonSchema({"type": "string", "minLength": SHORTEST_KEY}),
]
Password = Annotated[
    StrictStr,
    BeforeValidator(read_password),
    AfterValidator(Secret),
    PlainSerializer(_written),
    WithJsonSchema({"type": "string", "minLength": 1}),
]
