"""The built-in projections: what a session's records mean to a reader."""

if __name__ != "eventlog.projections":
    raise ImportError(
        "import eventlog.projections: under another name every class would exist twice"
    )
