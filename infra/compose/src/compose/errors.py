"""Errors of the commands. The first line of every message describes what to do."""


class ComposeError(Exception):
    """The command failed. The command line prints the message and exits with 1."""
