"""What a configuration file says about where its balancer is asked, even when the rest of it is wrong."""

from pathlib import Path

from bascule.config.load import load
from bascule.config.tree import read_tree


def admin_bind(path: Path) -> str | None:
    """The value of `admin.bind`, or `None` when there is none. Raises `ConfigRefused` for what is not YAML.

    Takes no notice of problems elsewhere in the file: `bascule reload` must reach the balancer to be
    told about them.
    """
    for source in load(path).sources:
        tree = read_tree(source).value
        admin = tree.get("admin") if isinstance(tree, dict) else None
        bind = admin.get("bind") if isinstance(admin, dict) else None
        if isinstance(bind, str):
            return bind
    return None
