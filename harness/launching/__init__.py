"""Carrying out runs: a process a run, all in one process, or job arrays.

The way of the data: folders with a config.json -> `launch` starts each as a process of its own and watches it ->
status.json of each folder and, where a screen is there, the table of `progress`. `signals` says how a run is asked to
stop.

It imports storage and training to carry out a run; nothing of methods or benchmarks by name.
"""
