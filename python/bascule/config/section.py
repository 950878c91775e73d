"""What all parts of the operator's model have in common."""

from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """A part of a configuration: frozen, closed, and documented by the docstrings of its fields."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )

    title: ClassVar[str] = "the configuration"
    """As messages name it: "a pool"."""

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Pydantic copies defaults that hold a mapping; of 10,000 routes that is a tenth of the time to read
        # them, for copies of what nobody changes.
        return self


def alternative(**more: Any) -> Any:
    """A field of which others take the place: not given, it is not written out either."""
    return Field(default=None, exclude_if=lambda value: value is None, **more)
