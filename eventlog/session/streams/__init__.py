"""Messages that are still being written: begun, continued in chunks, then ended or interrupted."""
