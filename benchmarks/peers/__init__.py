"""Other libraries, each used as its documentation shows; importing a module imports its library.

One that is not installed is left out of the tables (`benchmarks.results.in_turns`).
"""
