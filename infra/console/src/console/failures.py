"""How a command ends early."""


class FailedError(Exception):
    """The command cannot go on; the message is one line that says what happened and what to do."""


class NobodyThereError(FailedError):
    """Nothing listens at the gateway's address."""
