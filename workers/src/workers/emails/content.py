"""Renders the emails in HTML and plain text, from the templates beside this file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from workers.schemas import DaySales, Order, User


@dataclass(frozen=True, slots=True, kw_only=True)
class EmailContent:
    """One email in both forms. `recipient` is the address, `recipient_name` the display name."""

    recipient: str
    recipient_name: str
    subject: str
    text: str
    html: str


_ORDER_TEXTS = {
    "placed": ("We have your order", "Thank you! We are packing it now, and will write again when it is on its way."),
    "shipped": ("Your order is on its way", "We have handed your parcel over. It should be with you in a few days."),
    "cancelled": ("Your order is cancelled", "Nothing will be sent, and nothing will be charged."),
}
"""Headline and opening text by order status."""


def _money(cents: int, currency: str) -> str:
    return f"{cents // 100:,}.{cents % 100:02d} {currency}"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=select_autoescape(enabled_extensions=("html.j2",)),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["money"] = _money
    return environment


_TEMPLATES = _environment()


def render_welcome_email(user: User) -> EmailContent:
    """Render the email that greets `user`."""
    return _render("welcome", user, subject="Welcome to Hopline")


def render_order_email(user: User, order: Order, *, status: str) -> EmailContent:
    """Render the email about an order that was placed, shipped or cancelled."""
    headline, opening = _ORDER_TEXTS[status]
    number = str(order.order_id)[:8]
    return _render(
        "order", user, subject=f"{headline} ({number})", order=order, number=number, headline=headline, opening=opening
    )


def render_sales_email(user: User, sales: DaySales) -> EmailContent:
    """Render the email with a day's sales."""
    orders = f"{sales.orders} order{'' if sales.orders == 1 else 's'}"
    total = _money(sales.total_cents, sales.currency)
    return _render("sales", user, subject=f"{sales.day:%-d %B %Y}: {orders}, {total}", sales=sales, orders=orders)


def _render(template: str, user: User, *, subject: str, **values: Any) -> EmailContent:
    values |= {"user": user, "subject": subject}
    return EmailContent(
        recipient=user.email,
        recipient_name=" ".join(user.name.split()),
        subject=subject,
        text=_TEMPLATES.get_template(f"{template}.txt.j2").render(values),
        html=_TEMPLATES.get_template(f"{template}.html.j2").render(values),
    )
