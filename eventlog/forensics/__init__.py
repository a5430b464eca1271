"""Looking back: what a session was, when it changed, why, and what would have been.

Nothing in here writes to the session that is looked at. Everything is a fold of its records: no code
of an application runs again.
"""
