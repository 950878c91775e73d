"""What a running balancer says about the endpoints of its pools."""

import json
from pathlib import Path
from typing import Any

from tests.support.program import get


def standing(folder: Path, pool: str) -> dict[str, Any]:
    """What the status says about each endpoint of a pool, by its address."""
    pools = json.loads(get(f"unix:{folder}/admin.sock", "/status").body)["pools"]
    endpoints = next(it["endpoints"] for it in pools if it["pool"] == pool)
    return {it["endpoint"]: it for it in endpoints}


def up(folder: Path, pool: str) -> list[str]:
    """The endpoints that are up."""
    return [name for name, it in standing(folder, pool).items() if it["up"]]
