"""Workers: they claim the tasks of a log and carry them out."""
