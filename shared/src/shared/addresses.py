"""Email addresses: many ways to write one, and one to store, look up and count it by."""

from email_validator import validate_email


def normalised_email(address: str) -> str:
    """The one spelling under which an address is stored and looked up; raises ValueError saying what is wrong.

    ASCII, the domain in its IDNA spelling, all lower case: no provider of note tells Ann@ from ann@, and two accounts
    that differ by a capital are a mistake. A local part beyond ASCII is refused: its mail would need SMTPUTF8 on every
    server on the way, and what we can not write to we should not take. `.test` is for those who try things out.
    """
    checked = validate_email(address, check_deliverability=False, test_environment=True, allow_smtputf8=False)
    return f"{checked.local_part}@{checked.ascii_domain}".lower()
