"""What can stop the embedded mode. Every message is one line that says what to do."""


class EmbeddedError(Exception):
    """The command cannot go on; the command line prints the message and exits with 1."""


class MissingToolError(EmbeddedError):
    """A program that comes with a Python package is not installed, or not for this machine."""


class NotReadyError(EmbeddedError):
    """A server was started and does not answer within its time."""
