"""The error that ends a command."""


class FailedError(Exception):
    """The command cannot continue. The message is one line with the problem and its solution."""
