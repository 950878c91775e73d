"""`bascule catalog`: algorithms, matchers, checks and sources that exist."""

import json

from bascule.cli import options


def command(as_json: options.AsJson = False) -> None:
    """List algorithms, matchers, checks and sources that exist, with their options.

    \b
    Example: bascule catalog
    """
    from bascule.contract import codec  # noqa: PLC0415 (keeps `--help` fast)
    from bascule.discovery import registry as sources  # noqa: PLC0415
    from bascule.health import registry as checks  # noqa: PLC0415
    from bascule.plane import embedded  # noqa: PLC0415

    catalog = embedded.catalog()
    if as_json:
        described = json.loads(codec.encode(catalog))
        described |= {"checks": list(checks.names()), "sources": list(sources.names())}
        print(json.dumps(described, indent=2, ensure_ascii=False))
        return
    for title, entries in (("algorithms", catalog.algorithms), ("matchers", catalog.matchers)):
        print(title)
        for entry in entries:
            print(f"  {entry.name:<22}{entry.summary}")
            options_of = entry.options
            named = options_of.get("properties") if isinstance(options_of, dict) else None
            if named:
                print(f"  {'':<22}options: {', '.join(named)}")
    for title, names in (("checks", checks.names()), ("sources", sources.names())):
        print(f"{title}\n  {', '.join(names)}")
