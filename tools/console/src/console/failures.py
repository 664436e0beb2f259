"""The error that ends a command."""


class FailedError(Exception):
    """The command cannot continue. The message describes the problem and its solution."""
