"""Runs as Slurm job arrays: submission, what goes on inside a job, and the commands status, retry and cancel.

Knows run folders, the command that carries them out, and sbatch; nothing of methods or benchmarks.
"""
