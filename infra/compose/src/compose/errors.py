"""What can stop a command. Every message begins with one line that says what to do."""


class ComposeError(Exception):
    """The command cannot go on; the command line prints the message and exits with 1."""
