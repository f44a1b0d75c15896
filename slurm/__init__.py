"""Runs as Slurm job arrays: submission, what goes on inside a job, and the commands status, retry and cancel.

This room knows run folders, the command that carries them out, and sbatch. It knows nothing of methods or benchmarks,
and of the other rooms it imports harness.common alone.
"""
