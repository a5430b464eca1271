"""Programs to copy from, each one file: they run as they are, and the tests run them."""
