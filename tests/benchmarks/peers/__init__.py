"""Other task queues, handing the same jobs over: each a script that runs with their own Python.

They are no dependencies of this project. `tests/benchmarks/peers.py` has to make their environment,
and tells each script how many jobs, and a folder for its files. A script makes everything first
(tables, connections, the jobs themselves), times only the handing over, durable and in the largest
portions that the peer's documentation offers, counts what is there afterwards, and prints JSON.
"""
