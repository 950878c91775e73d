"""`bascule schema`: the JSON Schema of configuration files."""

import json


def command() -> None:
    """Print the JSON Schema of configuration files, for editors.

    \b
    Example: bascule schema > bascule.schema.json
    """
    from bascule.config.schema import schema  # noqa: PLC0415 (keeps `--help` fast)

    print(json.dumps(schema(), indent=2, ensure_ascii=False))
