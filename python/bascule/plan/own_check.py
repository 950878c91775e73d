"""A check that is a function of the operator's own, comparable over two readings of its `bascule.py`."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import CodeType, FunctionType
from typing import Any


class OwnCheck:
    """Awaits the function. Two are equal when, as far as their code can tell, they do the same.

    Each reading of the file makes a new function, and a reload must not say that every check has changed.
    Compared are the code, its defaults, and what it names of its own file: functions and classes by their
    code, constants by their value, other objects (a client, a lock) by their type. What modules beside the
    file define is the same object for the life of the program.
    """

    def __init__(self, function: Any) -> None:
        self.__name__ = str(getattr(function, "__name__", type(function).__name__))
        self._function = function
        self._made_of = _made_of(function)

    async def __call__(self, target: object) -> object:
        return await self._function(target)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OwnCheck) and self._made_of == other._made_of

    def __hash__(self) -> int:
        return hash(self.__name__)

    def __repr__(self) -> str:
        return f"{self.__name__}()"


def _made_of(function: Any) -> tuple[object, ...]:
    if isinstance(function, FunctionType):
        # What holds itself cannot be compared to the end.
        with suppress(RecursionError):
            return _Reading(function.__globals__).made_of(function)
    return "is", function


class _Reading:
    """What things that one reading of a file has made are made of."""

    def __init__(self, own: dict[str, Any]) -> None:
        self._own = own
        self._met: set[int] = set()

    def made_of(self, value: Any) -> tuple[object, ...]:
        """Equal for two values that do the same."""
        return type(value).__qualname__, *self._parts(value)

    def _parts(self, value: Any) -> Iterator[object]:
        match value:
            case None | bool() | int() | float() | complex() | str() | bytes():
                yield value
            case CodeType():
                yield from self._code(value)
            case list() | tuple():
                yield from map(self.made_of, value)
            case Mapping():
                yield from ((self.made_of(key), self.made_of(item)) for key, item in value.items())
            case set() | frozenset():
                yield from sorted(map(repr, map(self.made_of, value)))
            case _ if id(value) in self._met:
                yield getattr(value, "__qualname__", "")
            case _:
                self._met.add(id(value))
                yield from self._object(value)

    def _object(self, value: Any) -> Iterator[object]:
        if isinstance(value, FunctionType) and value.__globals__ is self._own:
            yield from self._function(value)
        elif isinstance(value, type) and value.__module__ == self._own.get("__name__"):
            yield value.__qualname__
            yield from map(self.made_of, _members(value))
        elif hasattr(value, "__name__"):
            # A function, class or module from elsewhere is itself; of other objects only the kind is known.
            yield value

    def _function(self, function: FunctionType) -> Iterator[object]:
        yield function.__qualname__
        yield self.made_of(function.__code__)
        yield self.made_of((function.__defaults__, function.__kwdefaults__))
        yield self.made_of([cell.cell_contents for cell in function.__closure__ or () if _is_full(cell)])
        # Names of attributes are among them; one that is also a name of the file does no harm.
        named = sorted(set(_names(function.__code__)) & self._own.keys())
        yield from ((name, self.made_of(self._own[name])) for name in named)

    def _code(self, code: CodeType) -> Iterator[object]:
        """All but where it is written: a line added above changes nothing."""
        yield from (code.co_name, code.co_code, code.co_exceptiontable, code.co_flags)
        yield from (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
        yield from (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        yield from map(self.made_of, code.co_consts)


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for const in code.co_consts:
        if isinstance(const, CodeType):
            yield from _names(const)


def _members(made: type) -> list[tuple[str, Any]]:
    return [(name, it) for name, it in vars(made).items() if not name.startswith("__") or callable(it)]


def _is_full(cell: Any) -> bool:
    try:
        cell.cell_contents  # noqa: B018 (reading it is the check)
    except ValueError:
        return False
    return True
