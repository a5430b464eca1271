"""A folder of sessions that another program wrote becomes a log."""
