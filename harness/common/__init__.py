"""What every room may import: declared settings, the registry, words, files, units, run folders, sources.

This room imports the standard library alone, so it loads in milliseconds and no circle of imports can pass through it.

- `settings`: a setting says its choices, bounds and meaning; its help and its check are made from that.
- `registry`: one kind of list for everything that can be plugged in; `plugins` loads a user's files into it.
- `words`: one reader of `name=value` for the small commands, one hint for misspelt words, one rule of exit codes.
- `files`, `units`, `folders`, `sources`: written beside and replaced; bytes and seconds; run folders; what was run.
"""
