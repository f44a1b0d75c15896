"""What a run leaves on disk: its checkpoint, its record, and the lease that says who carries it out.

`checkpoint` writes and reads the state of a run, whole or not at all; `record` makes record.json and checks it;
`lease` keeps two commands from carrying out one run. Each takes plain values and knows nothing of the training loop.

It imports `harness.common` and, of results, the schema of a record.
"""
