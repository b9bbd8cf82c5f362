"""What the simulator's log says the stats and the recipients' rows must be, by plain sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.simulator.truth import recipients


@dataclass(frozen=True)
class Truth:
    """Message ids by kind of one campaign, as they were decided."""

    reported: Mapping[str, set[str]]

    @classmethod
    def of(cls, folder: Path, campaign: str) -> Truth:
        return cls(
            {kind: ids for (other, kind), ids in recipients(folder).items() if other == campaign}
        )

    def __call__(self, *kinds: str) -> set[str]:
        return set().union(*(self.reported.get(kind, set()) for kind in kinds))

    def stats(self) -> dict[str, int]:
        """The counts of the API: an open proves the delivery, a click proves the open, machines
        count apart until a person comes.
        """
        opened, machines = self("opened", "clicked"), self("machine-opened", "machine-clicked")
        return {
            "acceptedCount": len(self("accepted")),
            "deliveredCount": len(self("delivered") | opened | machines),
            "openedCount": len(opened),
            "clickedCount": len(self("clicked")),
            "bouncedCount": len(self("bounced")),
            "failedCount": len(self("failed")),
            "unsubscribedCount": len(self("unsubscribed")),
            "complaintCount": len(self("complained")),
            "machineOpenedCount": len(machines - opened),
            "machineClickedCount": len(self("machine-clicked") - self("clicked")),
        }

    def status(self, message_id: str) -> str:
        """The highest status that a sent message reached."""
        order = ("clicked", "opened", "failed", "bounced")
        for status in order:
            if message_id in self(status):
                return status
        return (
            "delivered"
            if message_id in self("delivered", "machine-opened", "machine-clicked")
            else "sent"
        )
