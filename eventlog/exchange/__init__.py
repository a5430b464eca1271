"""A log to and from elsewhere: another store, a chat file of another program."""
