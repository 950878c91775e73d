"""What the data plane said of endpoints and stores, remembered for whoever looks at the status later."""

from collections import OrderedDict
from dataclasses import dataclass

from bascule import contract

MOST_REMEMBERED = 4096
"""Ejections whose reason is kept: endpoints that leave while ejected are never said to be restored."""

Key = tuple[str, str]
"""Pool and endpoint."""


@dataclass(frozen=True, slots=True)
class Ejection:
    """Why an endpoint was ejected last."""

    reason: str
    """In words."""
    for_ms: int
    """How long it was to get nothing."""


class Troubles:
    """Hears every event. Counters say what is so now; this says why."""

    def __init__(self) -> None:
        self._ejections: OrderedDict[Key, Ejection] = OrderedDict()
        self._stores: dict[str, str] = {}

    def hear(self, what: contract.What) -> None:
        """Notes what an event says; most say nothing that must be remembered."""
        match what:
            case contract.Ejected(pool, endpoint, reason, for_ms):
                self._ejections[pool, endpoint] = Ejection(reason, for_ms)
                self._ejections.move_to_end((pool, endpoint))
                if len(self._ejections) > MOST_REMEMBERED:
                    self._ejections.popitem(last=False)
            case contract.Restored(pool, endpoint):
                self._ejections.pop((pool, endpoint), None)
            case contract.StoreFailed(store, reason):
                self._stores[store] = reason
            case contract.StoreRecovered(store):
                self._stores.pop(store, None)
            case _:
                pass

    def ejections(self) -> dict[Key, Ejection]:
        """Why each of those was ejected that have not been restored since."""
        return dict(self._ejections)

    def problems(self) -> list[str]:
        """What an operator should see on top of the status, one line each."""
        return [
            f"store {store} does not answer: {reason}; requests go on without it"
            for store, reason in sorted(self._stores.items())
        ]
