// All sessions of a store, live: used where a server serves the page.

