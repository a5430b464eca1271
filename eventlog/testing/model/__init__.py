"""A model of the whole library, and the state machines that compare the library with it."""
