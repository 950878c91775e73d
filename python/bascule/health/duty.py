"""What an endpoint may be given, in the words of operators and agents."""

from enum import StrEnum


class Duty(StrEnum):
    """Ordered from most to least: of two that disagree the later one counts."""

    READY = "ready"
    """Everything that falls to it."""
    DRAIN = "drain"
    """Nothing new; its sessions stay, and what it has may finish."""
    MAINTENANCE = "maintenance"
    """Nothing at all; its checks pause."""

    @staticmethod
    def least(*duties: "Duty") -> "Duty":
        """The one that lets the least through."""
        order = list(Duty)
        return max(duties, key=order.index)
