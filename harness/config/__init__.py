"""From the words of a command line to the config of each run.

`schema` declares what the command itself can be set to, and makes the run id; `usage` prints it all as --help, without
torch or Hydra. The way of the data: `overrides` reads the words -> `presets` adds those of a named experiment ->
`compose` lays them over defaults (`store`), profile and protocol (YAML files in `conf/`), checks them, and gives a
`Request`: the config of each run (`run_config`) by run id. `hints` words what is wrong with a word.

It imports methods, benchmarks and slurm for what they declare, and no other room of harness but `harness.common`.
"""
