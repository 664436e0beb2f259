"""The crash points that `make fault` accepts are the crash points of the code."""

import re
from pathlib import Path

from gateway.schemas import CRASH_POINTS

ROOT = Path(__file__).parents[2]


def test_fault_switches_accept_exactly_the_crash_points_of_the_code() -> None:
    sources = [file for pattern in ("shared/src", "services/*/src", "workers/src") for file in ROOT.glob(pattern)]
    points = {
        point
        for source in sources
        for file in source.rglob("*.py")
        for point in re.findall(r'crash_point\("([^"]+)"\)', file.read_text(encoding="utf-8"))
    }
    accepted = {point for points in CRASH_POINTS.values() for point in points}
    assert points == accepted, "gateway.schemas.CRASH_POINTS must list exactly the crash_point(…) calls"
