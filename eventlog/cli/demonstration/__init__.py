"""What `eventlog demo` plays: its story, the scenes that it reports, and the worker that is killed."""
