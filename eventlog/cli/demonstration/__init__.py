"""The story of ``eventlog demo``: its scenes, and the worker that is killed."""
