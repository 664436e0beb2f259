"""What the emails say, in HTML and in plain text, from the templates beside this file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from workers.schemas import DaySales, Order, User


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """One message in both forms; `recipient` is an address, `recipient_name` what stands before it."""

    recipient: str
    recipient_name: str
    subject: str
    text: str
    html: str


_ORDER = {
    "placed": ("We have your order", "Thank you! We are packing it now, and will write again when it is on its way."),
    "shipped": ("Your order is on its way", "We have handed your parcel over. It should be with you in a few days."),
    "cancelled": ("Your order is cancelled", "Nothing will be sent, and nothing will be charged."),
}
"""Headline and opening by status."""


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


def welcome_letter(user: User) -> Letter:
    """Greet `user`."""
    return _letter("welcome", user, subject="Welcome to Hopline")


def order_letter(user: User, order: Order, *, status: str) -> Letter:
    """Tell `user` that `order` is now placed, shipped or cancelled."""
    headline, opening = _ORDER[status]
    number = str(order.order_id)[:8]
    return _letter(
        "order", user, subject=f"{headline} ({number})", order=order, number=number, headline=headline, opening=opening
    )


def sales_letter(user: User, sales: DaySales) -> Letter:
    """Tell `user`, who runs the shop, what was sold on a day."""
    orders = f"{sales.orders} order{'' if sales.orders == 1 else 's'}"
    total = _money(sales.total_cents, sales.currency)
    return _letter("sales", user, subject=f"{sales.day:%-d %B %Y}: {orders}, {total}", sales=sales, orders=orders)


def _letter(template: str, user: User, *, subject: str, **values: Any) -> Letter:
    values |= {"user": user, "subject": subject}
    return Letter(
        recipient=user.email,
        recipient_name=" ".join(user.name.split()),
        subject=subject,
        text=_TEMPLATES.get_template(f"{template}.txt.j2").render(values),
        html=_TEMPLATES.get_template(f"{template}.html.j2").render(values),
    )
