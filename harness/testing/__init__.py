"""The test kit: what is checked of an entry of yours, in one line of your own pytest.

`assert_method("mine", "plugins=[mine.py]")`, `assert_benchmark`, `assert_form` and `assert_network` raise an
AssertionError that says what is wrong. The project's tests use them on all that it registers; `python -m harness.check`
prints what `assert_method` checks. It stands above the loop: it may import everything of harness but the commands.
"""

from harness.testing.kit import assert_benchmark, assert_form, assert_method, assert_network

__all__ = ["assert_benchmark", "assert_form", "assert_method", "assert_network"]
