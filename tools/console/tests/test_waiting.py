"""Waiting for a condition, and the detection of a complete trace."""

import pytest

from console.demo import EXPECTED_SERVICES, has_expected_spans
from console.failures import FailedError
from console.waiting import CompletionDetector, until

from .jaeger_spans import span, tree


class TestCompletionDetector:
    def test_trace_is_complete_when_it_is_whole_and_stops_growing(self) -> None:
        detector = CompletionDetector(lambda tree: tree.is_whole, quiet_seconds=2.0)
        first, grown = tree(span("root")), tree(span("root"), span("child", "root"))
        disconnected = tree(span("root"), span("child", "root"), span("lost", "gone"))

        assert not detector.record(first, 10.0)
        assert not detector.record(first, 11.9)
        assert not detector.record(grown, 12.0)
        assert not detector.record(disconnected, 20.0)
        assert not detector.record(disconnected, 29.0)
        assert not detector.record(grown, 30.0)
        assert detector.record(grown, 32.0)

    def test_demo_expects_every_service_and_every_parent(self) -> None:
        first, *others = sorted(EXPECTED_SERVICES)
        spans = [span("root", service=first), *(span(name, "root", service=name) for name in others)]

        assert has_expected_spans(tree(*spans))
        assert not has_expected_spans(tree(*spans[:-1]))
        assert not has_expected_spans(tree(*spans, span("child", "gone")))


class TestUntil:
    async def test_error_has_the_problem_and_the_advice_when_the_timeout_expires(self) -> None:
        async def find_nothing() -> None:
            return None

        with pytest.raises(FailedError, match=r"^no email after 0 s: see the mailbox$"):
            await until(find_nothing, 0.0, "no email", advice="see the mailbox")
