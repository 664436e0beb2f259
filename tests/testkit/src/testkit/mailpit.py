"""Emails read through Mailpit's API."""

from testkit.apps import http_client
from testkit.stack import Stack
from testkit.waiting import eventually

_MAX_MESSAGES = 500


async def list_subjects(stack: Stack, address: str) -> list[str]:
    """Return the subjects of the emails to `address`, newest first."""
    async with http_client(stack.mailpit) as mailpit:
        response = await mailpit.get("/api/v1/messages", params={"limit": _MAX_MESSAGES})
    messages = response.raise_for_status().json()["messages"]
    return [message["Subject"] for message in messages if address in {to["Address"] for to in message["To"]}]


async def wait_for_order_emails(stack: Stack, address: str) -> None:
    """Wait until a customer with one shipped order has received exactly three emails."""

    async def has_three_emails() -> bool:
        subjects = await list_subjects(stack, address)
        assert len(subjects) == 3, f"emails to {address}: {subjects}"
        return True

    await eventually(has_three_emails, what="the welcome, the confirmation and the shipping email")
