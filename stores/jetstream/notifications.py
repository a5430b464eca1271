"""Waking those who wait for records of other processes: a subject in no stream, as a hint only.

After an append its process says there, without waiting, that there is something new. Whoever waits looks for
itself now and then all the same.
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
    """Hears what others say, and tells them of this store's appends."""

    def __init__(self, subject: str) -> None:
        super().__init__()
        self._subject = subject

    async def listen(self, client: Client) -> None:
        """Hear what is said from now on, for as long as the connection lasts."""

        async def heard(_: Msg) -> None:
            self.notify()

        await client.subscribe(  # pyright: ignore[reportUnknownMemberType]
            self._subject, cb=heard
        )
        self.notify()  # Whatever was said while nobody listened.

    async def announce(self, client: Client) -> None:
        """Tell others that something was appended; whether anybody hears it does not matter."""
        try:
            await client.publish(self._subject)
        except Error:
            return
