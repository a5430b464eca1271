"""``python -m eventlog``: the command line without its script."""

from eventlog.cli import main

if __name__ == "__main__":
    main()
