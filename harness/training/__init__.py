"""One run, from its config to its record. `loop.py` is the loop; everything else is called from it by name.

The way of a run: `execute` starts it; `context` resolves its config into benchmark, stream and a fresh method;
`experiences` and `batches` hand out the training clips; `loop` walks experiences, phases and steps; `own_loop` serves
methods that bring a loop of their own; `run_state` holds the meters (`evaluation`, `memory`, `drift`, `filmstrip`,
`journal`), saves and resumes, and writes the record.

This room may import benchmarks, methods, results and the rooms harness.common, config, launching and storage.
"""
