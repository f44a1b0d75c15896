"""What a command would do, before it does it: `plan` prints tasks, steps and bytes; `speed` estimates the hours.

The way of the data: configs of runs -> `Context` of training, without videos -> a fresh method -> its table of phases,
counted. `speed` keeps what `python -m harness.bench only=models` measured on this machine.

It imports config, training, methods and results; the command harness.run and benchmarking import it.
"""
