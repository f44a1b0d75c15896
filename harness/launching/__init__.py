"""Launchers carry out runs: in processes of this machine, in this process, or as jobs of a cluster.

A launcher gets run folders that hold config.json. It writes to each folder's status.json what became of the run. This
room may import harness.common, config, storage, and the loop of training. `signals` imports nothing of the project.

folders -> launcher -> (a process, a job) -> `execution.execute`: lease -> the loop -> status.json, record.json
"""

from typing import TYPE_CHECKING

from harness.common.registry import Registry

if TYPE_CHECKING:
    from harness.launching.launcher import Launcher

LAUNCHERS: "Registry[type[Launcher]]" = Registry("launcher", "harness.launching.launcher:Launcher")
LAUNCHERS.add("local", "harness.launching.local:Local", "a process a run, several at a time", builtin=True)
LAUNCHERS.add("inline", "harness.launching.inline:Inline", "all runs in this process, for debuggers", builtin=True)
LAUNCHERS.add("slurm", "harness.launching.slurm:JobArrays", "job arrays of a Slurm cluster", builtin=True)
