"""The folder that follows a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventlog import late_verbs
from eventlog.faces.base import Base

if TYPE_CHECKING:
    import os

    from eventlog.session.attachment import FolderReport, FolderView

__all__ = ["FolderVerbs"]


class FolderVerbs(Base):
    """The folder that follows a session."""

    @property
    def folder(self) -> FolderView | None:
        """The attached folder as this process sees it, or None. No I/O."""
        return late_verbs.view(self._core)

    def attach_folder(self, path: str | os.PathLike[str], *, mode: int | None = None) -> FolderView:
        """Attach a folder: from now on its files follow the session.

        One process owns a folder and alone writes it. It writes before the answer to a command is
        returned; the task of a commit can be claimed once its archive is on disk. Records of other
        processes, such as workers, are written with the owner's next command or `refresh`. The
        attachment is recorded, so the next process that opens the session takes the folder over,
        unless another one owns it.

        ``mode`` sets the permissions of new files, such as ``0o660``. By default a new folder is
        its owner's alone, and new files in an existing one take its read and write bits. Nothing
        outside the folder is touched, since links in it are not followed.

        Raises `FolderLocked` if another process owns the folder, `CorruptFolder` if it holds
        content that the session does not have or an entry that is not a file, `InvalidArgument` if
        it belongs to another session or the session has another folder, `FolderUnavailable` if it
        cannot be written, and `UnsupportedStore` on a platform that cannot confine files to a
        folder.
        """
        return self._engine.shelter.write(late_verbs.attach, self._engine, self._core, path, mode)

    def detach_folder(self) -> None:
        """Detach the folder: its files stay as they are and no longer follow the session."""
        self._engine.shelter.write(late_verbs.detach, self._engine, self._core)

    def materialize(self, path: str | os.PathLike[str]) -> FolderReport:
        """Write the session's folder once, without attaching it. Raises as `attach_folder` does."""
        return self._engine.shelter.write(late_verbs.materialize, self._engine, self._core, path)

    def heal(self, path: str | os.PathLike[str], *, check: bool = False) -> FolderReport:
        """Rewrite a folder from the records and record what differed; with ``check``, only report
        it.

        Content that the log does not have is kept in quarantine beside its file. Files that are not
        the session's are left alone, and a healthy folder is not touched. Raises `FolderLocked`,
        `FolderUnavailable`, and `InvalidArgument` if there is no folder or it belongs to another
        session.
        """
        return self._engine.shelter.write(late_verbs.heal, self._engine, self._core, path, check)
