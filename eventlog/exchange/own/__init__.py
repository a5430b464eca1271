"""Message lines in this library's own format and in OpenViking's: a role and typed parts."""
