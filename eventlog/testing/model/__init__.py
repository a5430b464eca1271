"""A model of the whole library, and the state machines that hold the library against it."""
