"""The faces of a session, by theme: each module has the methods of one, for `Session` or its twin."""
