"""The command line, as in ``tests/cli``, for files of foreign formats."""

from tests.cli.conftest import run

__all__ = ["run"]
