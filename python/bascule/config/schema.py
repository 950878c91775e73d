"""JSON Schema of the configuration file, for editors."""

from typing import Any

from bascule.config.model import Config

_INCLUDE = {
    "description": "Files to read too, relative to this one; the last part may hold `*`.",
    "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}],
}


def schema() -> dict[str, Any]:
    """Draft 2020-12, short forms included, descriptions from the model.

    What is not said there (that a pool exists, that a regular expression is one) is for `bascule check`.
    """
    described = Config.model_json_schema(by_alias=True)
    described["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    described["title"] = "Bascule configuration"
    described["properties"]["include"] = _INCLUDE
    described["patternProperties"] = {"^x-": {"description": "A place for YAML anchors; ignored."}}
    return described
