"""Programs to begin with; the suite runs them. ``python -m eventlog.examples.NAME`` runs one."""
