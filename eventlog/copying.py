"""Copying a log from one store into another, under the name that users import it by."""

from eventlog.exchange.copying import CopyReport, copy_log

__all__ = ["CopyReport", "copy_log"]
