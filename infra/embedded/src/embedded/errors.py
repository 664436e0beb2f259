"""Errors of the embedded mode."""


class EmbeddedError(Exception):
    """The command failed. The command line prints the message and exits with 1."""


class MissingToolError(EmbeddedError):
    """A program is not installed, or its Python package has no build for this machine."""


class StartFailedError(EmbeddedError):
    """A process exited during its start or was not ready in time. The message ends with the end of its log."""


class SupervisordStoppingError(EmbeddedError):
    """supervisord is stopping all processes and rejects every call."""
