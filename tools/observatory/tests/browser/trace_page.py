"""Positions of elements on the page of a trace, and dragging over them."""

from playwright.sync_api import Locator, Page


def span_row(page: Page, span_id: str) -> Locator:
    return page.locator(f'li.span[id="{span_id}"]')


def left_edge(element: Locator) -> float:
    box = element.bounding_box()
    assert box
    return box["x"]


def right_edge(element: Locator) -> float:
    box = element.bounding_box()
    assert box
    return box["x"] + box["width"]


def drag(page: Page, left: float, right: float, y: float) -> None:
    """Drag the mouse from `left` to `right` at the height `y`, in pixels of the window."""
    page.mouse.move(left, y)
    page.mouse.down()
    page.mouse.move(right, y, steps=3)
    page.mouse.up()
