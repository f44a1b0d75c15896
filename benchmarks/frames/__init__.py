"""Frames of videos: found, decoded once by presentation time, and kept in a few packed files.

The way of the data: `find` (files by name) -> `decode` (frames at given times) -> `shards` (the clips of a few videos
in one file) -> `build` (all shards, in `watched` processes that may crash or hang) -> `cache` (read by row of the clip
table). `parallel` has processes, progress and folders that appear only when complete.

Imports nothing of benchmarks but `randomness` and, for types, `clips`; of the other rooms only harness.common.
"""
