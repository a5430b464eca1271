"""The twin of `eventlog.faces.folder`, to be awaited."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog.faces.async_base import AsyncBase

if TYPE_CHECKING:
    import os

    from eventlog.session.attachment import FolderReport, FolderView

__all__ = ["AsyncFolderVerbs"]


class AsyncFolderVerbs(AsyncBase):
    """The folder that follows a session."""

    @property
    def folder(self) -> FolderView | None:
        """The attached folder as this process sees it, or None. No I/O."""
        from eventlog.folder import attaching

        return attaching.view(self._core)

    async def attach_folder(
        self, path: str | os.PathLike[str], *, mode: int | None = None
    ) -> FolderView:
        """Attach a folder: from now on its files follow the session.

        See `Session.attach_folder`.
        """
        from eventlog.folder import attaching

        return await self._engine.run(
            attaching.attach, self._engine.blocking, self._core, path, mode=mode
        )

    async def detach_folder(self) -> None:
        """Detach the folder: its files stay as they are and no longer follow the session."""
        from eventlog.folder import attaching

        await self._engine.run(attaching.detach, self._engine.blocking, self._core)

    async def materialize(self, path: str | os.PathLike[str]) -> FolderReport:
        """Write the session's folder once, without attaching it. Raises as `attach_folder` does."""
        from eventlog.folder import attaching

        return await self._engine.run(
            attaching.materialize, self._engine.blocking, self._core, path
        )

    async def heal(self, path: str | os.PathLike[str], *, check: bool = False) -> FolderReport:
        """Rewrite a folder from the records and record what differed; with ``check``, only report
        it.

        See `Session.heal`.
        """
        from eventlog.folder import attaching

        return await self._engine.run(
            attaching.heal, self._engine.blocking, self._core, path, check=check
        )
