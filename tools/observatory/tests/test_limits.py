"""Limits of the stores and of request heads. The stores evict their oldest items first."""

import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.trace import Tracer

from observatory.attributes import Resource, Scope
from observatory.logs import LogStore, Record
from observatory.mailbox import Mailbox
from observatory.traces import Span, TraceStore
from testkit.observatory import CreateTelemetry, Observatory, trace_id_of

MAX_IDLE_RSS_KIB = 70 * 1024


def record_span(tracer: Tracer, name: str) -> str:
    """Record a span in the current context, and return its trace id."""
    with tracer.start_as_current_span(name) as span:
        return trace_id_of(span)


class TestEviction:
    def test_oldest_traces_are_evicted_when_there_are_too_many(
        self, limited_observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        tracer = create_telemetry(limited_observatory, "orders").tracer

        ids = [record_span(tracer, f"op {number}") for number in range(5)]

        kept = [limited_observatory.get("jaeger", f"/api/traces/{trace_id}").status_code for trace_id in ids]
        assert kept == [404, 404, 200, 200, 200]

    def test_whole_traces_are_evicted_when_there_are_too_many_spans(
        self, limited_observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        tracer = create_telemetry(limited_observatory, "orders").tracer
        small_id = record_span(tracer, "alone")
        with tracer.start_as_current_span("root") as root:
            for number in range(4):
                record_span(tracer, f"child {number}")

        large = limited_observatory.get("jaeger", f"/api/traces/{trace_id_of(root)}").json()

        assert len(large["data"][0]["spans"]) == 5
        assert limited_observatory.get("jaeger", f"/api/traces/{small_id}").status_code == 404

    def test_oldest_spans_are_evicted_when_one_trace_is_too_large(
        self, limited_observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        tracer = create_telemetry(limited_observatory, "orders").tracer
        with tracer.start_as_current_span("root") as root:
            for number in range(9):
                record_span(tracer, f"child {number}")

        (trace,) = limited_observatory.get("jaeger", f"/api/traces/{trace_id_of(root)}").json()["data"]

        kept = {span["operationName"] for span in trace["spans"]}
        assert kept == {"root", "child 8", "child 7", "child 6", "child 5"}

    def test_oldest_log_records_are_evicted_when_there_are_too_many(
        self, limited_observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        emitter = create_telemetry(limited_observatory, "orders")
        for number in range(5):
            emitter.log(f"line {number}")

        response = limited_observatory.get("loki", "/loki/api/v1/query_range", query='{service_name="orders"}').json()

        lines = [line for stream in response["data"]["result"] for _, line in stream["values"]]
        assert lines == ["line 4", "line 3", "line 2"]

    def test_oldest_emails_are_evicted_when_there_are_too_many(self, limited_observatory: Observatory) -> None:
        limited_observatory.send_email(*(f"Subject: mail {number}\r\n\r\n".encode() for number in range(5)))

        kept = limited_observatory.get("mailpit", "/api/v1/messages").json()["messages"]

        assert [item["Subject"] for item in kept] == ["mail 4", "mail 3", "mail 2"]

    def test_process_needs_little_memory_when_it_stores_little(self, observatory: Observatory) -> None:
        status = Path(f"/proc/{observatory.process.pid}/status").read_text()

        (rss,) = [line.split()[1] for line in status.splitlines() if line.startswith("VmRSS")]
        assert int(rss) < MAX_IDLE_RSS_KIB


class TestTraceStore:
    @given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6), st.integers(0, 40)), max_size=60))
    def test_store_counts_its_spans_and_bytes_and_never_exceeds_its_limits(
        self, arrivals: list[tuple[int, int, int]]
    ) -> None:
        store = TraceStore(max_traces=3, max_spans=8, max_bytes=100)
        for trace, span, size in arrivals:
            store.add(self.build_span(trace, span, size))

            kept = list(store.spans())
            assert len(store) <= 3
            assert store.span_count == len(kept) <= 8
            assert store.byte_count == sum(len(item.raw) for item in kept) <= 100
            assert all(store.newest_first())  # no trace is empty
            assert store.get(str(trace))

    @staticmethod
    def build_span(trace: int, span: int, size: int) -> Span:
        return Span(
            trace_id=str(trace),
            span_id=str(span),
            parent_id="",
            operation="op",
            start_ns=span,
            end_ns=span,
            failed=False,
            resource=Resource("orders", {}),
            scope=Scope("", ""),
            raw=bytes(size),
        )


class TestLogStore:
    @given(st.lists(st.integers(0, 40), max_size=30))
    def test_store_keeps_the_latest_records_within_its_limits(self, sizes: list[int]) -> None:
        store = LogStore(max_records=5, max_bytes=100)
        for number, size in enumerate(sizes):
            store.add(self.build_record(number, size))

        kept = [(record.time_ns, len(record.raw)) for record in store]
        assert kept == latest(sizes, max_items=5, max_bytes=100)
        assert (len(store), store.byte_count) == (len(kept), sum(size for _, size in kept))

    @staticmethod
    def build_record(number: int, size: int) -> Record:
        resource, scope = Resource("orders", {}), Scope("", "")
        return Record(time_ns=number, trace_id="", span_id="", resource=resource, scope=scope, raw=bytes(size))


class TestMailbox:
    @given(st.lists(st.integers(0, 40), max_size=30))
    def test_mailbox_keeps_the_latest_emails_within_its_limits(self, sizes: list[int]) -> None:
        mailbox = Mailbox(max_mails=5, max_bytes=100)
        for number, size in enumerate(sizes):
            mailbox.put(sender=str(number), recipients=[], raw=bytes(size))

        kept = [(int(mail.sender), len(mail.raw)) for mail in mailbox.newest_first()][::-1]
        assert kept == latest(sizes, max_items=5, max_bytes=100)
        assert (len(mailbox), mailbox.byte_count) == (len(kept), sum(size for _, size in kept))


def latest(sizes: list[int], *, max_items: int, max_bytes: int) -> list[tuple[int, int]]:
    """Return the number and size of the latest items that are within both limits."""
    kept = list(enumerate(sizes))[-max_items:]
    while sum(size for _, size in kept) > max_bytes:
        kept.pop(0)
    return kept


class TestRequestHeads:
    @pytest.mark.parametrize("name", ["otlp", "jaeger", "loki", "prometheus", "mailpit"])
    def test_response_is_431_on_every_port_when_the_head_is_too_large(
        self, observatory: Observatory, name: str
    ) -> None:
        with socket.create_connection(("127.0.0.1", observatory.port(name)), timeout=30) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 1_000_000)
            assert connection.recv(13) == b"HTTP/1.1 431 "
