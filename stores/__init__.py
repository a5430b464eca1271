"""The backends, one module each; none knows another."""

if __name__ != "eventlog.stores":
    raise ImportError("import eventlog.stores: under another name every class would exist twice")
