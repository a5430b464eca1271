"""Wake readers that wait for records of other processes: a subject in no stream, as a hint only.

After an append its process publishes a notification there, without waiting. Waiting readers poll as
well, so a lost notification only costs time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nats.errors import Error

from eventlog.store import Wakeups

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

__all__ = ["Notifications"]


class Notifications(Wakeups):
    """Receives notifications from other processes, and sends them for this store's appends."""

    def __init__(self, subject: str) -> None:
        super().__init__()
        self._subject = subject

    async def listen(self, client: Client) -> None:
        """Subscribe to notifications, for as long as the connection lasts."""

        async def heard(_: Msg) -> None:
            self.notify()

        await client.subscribe(  # pyright: ignore[reportUnknownMemberType]
            self._subject, cb=heard
        )
        self.notify()  # Something may have been appended while nobody listened.

    async def announce(self, client: Client) -> None:
        """Notify other processes that something was appended; failures are ignored."""
        try:
            await client.publish(self._subject)
        except Error:
            return
