"""The backends, one package or module each; none imports another."""

if __name__ != "eventlog.stores":
    raise ImportError("import eventlog.stores: under another name every class would exist twice")
