"""Email addresses: many ways to write one, and one to store, look up and count it by."""

from email_validator import validate_email

MAX_LENGTH = 254
"""RFC 5321 §4.5.3.1.3: a path has 256 octets, of which two are its angle brackets."""


def normalised_email(address: str, *, strict: bool = False) -> str:
    """Return the one spelling under which an address is stored and looked up.

    ASCII, the domain in its IDNA spelling, all lower case: no provider of note tells Ann@ from ann@, and two accounts
    that differ by a capital are a mistake. A local part beyond ASCII is refused: its mail would need SMTPUTF8 on every
    server on the way, and what we cannot write to we should not take. `.test` is for those who try things out.

    `strict` is for an address that is to be written to. It also refuses a local part of more than 64 octets
    (§4.5.3.1.1), and one that mail programs take for an encoded word (RFC 2047).

    Raises:
        ValueError: The address is invalid; the message says why.
    """
    if len(address) > MAX_LENGTH:  # before it is normalised, which takes quadratic time
        raise ValueError(f"must have at most {MAX_LENGTH} characters")
    checked = validate_email(
        address, check_deliverability=False, test_environment=True, allow_smtputf8=False, strict=strict
    )
    if strict and "=?" in checked.local_part:
        raise ValueError("must not contain '=?', which begins an encoded word")
    return f"{checked.local_part}@{checked.ascii_domain}".lower()


def deliverable_email(address: str) -> str:
    """Return `normalised_email` of an address that is to be written to; raises ValueError."""
    return normalised_email(address, strict=True)
