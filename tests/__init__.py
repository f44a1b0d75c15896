"""Tests through the public surface; a package, so that another package named tests cannot shadow it."""
