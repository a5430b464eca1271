"""Our own message lines, and those of OpenViking: a role and typed parts."""
