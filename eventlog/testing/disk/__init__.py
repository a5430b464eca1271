"""A simulated disk, its fates after a power failure, and what runs on it: files, SQLite, plain Python."""
