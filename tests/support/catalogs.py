"""A catalogue as the data plane would give it, for tests that run without one."""

from bascule.contract import Catalog, Entry

NO_OPTIONS = {"type": "object", "properties": {}, "additionalProperties": False}
RING_OPTIONS = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer", "minimum": 1, "maximum": 1000},
        "by": {},
        "hash": {"enum": ["crc32", "xxhash"]},
    },
    "required": ["replicas"],
    "additionalProperties": False,
}
SNI_OPTIONS = {
    "type": "object",
    "properties": {"names": {"type": "array", "items": {"type": "string"}, "minItems": 1}},
    "required": ["names"],
    "additionalProperties": False,
}


def catalog() -> Catalog:
    """What ships; and an algorithm with options, and a matcher that has no key of its own in the model."""
    shipped = (
        "fastest",
        "least_busy",
        "two_choices",
        "round_robin",
        "weighted_round_robin",
        "random",
        "first",
    )
    algorithms = [Entry(name, "…", "…", NO_OPTIONS) for name in shipped]
    algorithms += [Entry(name, "…", "…", {}) for name in ("prequal", "hash")]
    matchers = [
        Entry(name, "…", "…", {})
        for name in ("host", "path", "method", "header", "query", "client", "client_certificate")
    ]
    return Catalog(
        (*algorithms, Entry("ring", "…", "…", RING_OPTIONS)), (*matchers, Entry("sni", "…", "…", SNI_OPTIONS))
    )
