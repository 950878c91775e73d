"""JSON Schema of the configuration file, for editors."""

from typing import Any

from bascule.config.model import Config
from bascule.config.section import Section

_INCLUDE = {
    "description": "Files to read too, relative to this one; the last part may hold `*`.",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}


def schema() -> dict[str, Any]:
    """Draft 2020-12, short forms included, descriptions from the model.

    What is not said there (that a pool exists, that a regular expression is one) is for `bascule check`.
    """
    described = Config.model_json_schema(by_alias=True)
    for section in _sections(Section):
        _write_defaults(section, described["$defs"].get(section.__name__, {}))
    described["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    described["title"] = "Bascule configuration"
    described["properties"]["include"] = _INCLUDE
    described["patternProperties"] = {"^x-": {"description": "A place for YAML anchors; ignored."}}
    return described


def _sections(of: type[Section]) -> list[type[Section]]:
    below = of.__subclasses__()
    return below + [deeper for section in below for deeper in _sections(section)]


def _write_defaults(section: type[Section], described: dict[str, Any]) -> None:
    """As a file would say them: `5s`, not the 5000 that the model holds."""
    written = section.model_construct().model_dump(mode="json", by_alias=True, warnings=False)
    for name, key in described.get("properties", {}).items():
        if "default" in key and name in written:
            key["default"] = written[name]
