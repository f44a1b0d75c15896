"""Speed of this machine, for the command `python -m harness.bench`.

`timing` measures two sides in turn and makes the row of a comparison; `steps`, `storage` and `videos` hold one function
a comparison, which gives rows. Heavy packages are imported inside these functions.

Only harness.bench imports it; it may import every room.
"""
