"""The folder of a session that follows its log."""
