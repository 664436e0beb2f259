"""What can stop the embedded mode. Every message is one line that says what to do."""


class EmbeddedError(Exception):
    """The command cannot go on; the command line prints the message and exits with 1."""


class MissingToolError(EmbeddedError):
    """A program that comes with a Python package is not installed, or not for this machine."""


class StartFailedError(EmbeddedError):
    """A process ended while it started, or was not ready in time; the message ends with its last lines."""
