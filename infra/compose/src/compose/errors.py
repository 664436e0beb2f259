"""The error of the commands."""


class ComposeError(Exception):
    """The command failed. The command line prints the message and exits with 1."""
