"""Supervisors: they execute the runs of a log, and carry on what others left."""
