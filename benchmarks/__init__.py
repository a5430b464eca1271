"""Side-by-side measurements; never part of the tests. `python -m benchmarks` runs them."""
