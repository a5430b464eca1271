"""Is a log what was written? The hash chain, the machines, and the index against the events."""
