"""Normalisation and validation of email addresses."""

from email_validator import validate_email

MAX_LENGTH = 254
"""RFC 5321 §4.5.3.1.3: a path has 256 octets, of which two are its angle brackets."""


def normalise_email(address: str, *, strict: bool = False) -> str:
    """Return the spelling in which an address is stored and looked up: ASCII, lower case, the domain by IDNA.

    The result is in lower case, because no common provider distinguishes Ann@ from ann@. A local part that is not ASCII
    is rejected, because every mail server on the way would need SMTPUTF8. Domains below `.test` are accepted.

    `strict` is for an address that will receive mail. It also rejects a local part of more than 64 octets
    (RFC 5321 §4.5.3.1.1), and one that mail programs decode as an encoded word (RFC 2047).

    Raises:
        ValueError: The address is invalid. The message contains the reason.
    """
    if len(address) > MAX_LENGTH:  # checked first: normalisation takes quadratic time
        raise ValueError(f"must have at most {MAX_LENGTH} characters")
    checked = validate_email(
        address, check_deliverability=False, test_environment=True, allow_smtputf8=False, strict=strict
    )
    if strict and "=?" in checked.local_part:
        raise ValueError("must not contain '=?', which begins an encoded word")
    return f"{checked.local_part}@{checked.ascii_domain}".lower()


def validate_deliverable_email(address: str) -> str:
    """Return the normalised address of a recipient; raises ValueError, see `strict` of `normalise_email`."""
    return normalise_email(address, strict=True)
