"""The pages: their content security policy, the JSON that they read, and received data that must not inject content."""

import re
from email.message import EmailMessage
from importlib.resources import files

import pytest
from opentelemetry.trace import NonRecordingSpan, SpanContext, use_span

from testkit.observatory import CreateTelemetry, Observatory, export_exception, trace_id_of

ASSETS = files("observatory") / "assets"
SCRIPT = "<script>alert(1)</script>"


class TestPages:
    @pytest.mark.parametrize(
        ("name", "path"),
        [
            ("jaeger", "/"),
            ("jaeger", "/search"),
            ("jaeger", "/trace/4bf92f3577b34da6a3ce929d0e0e4736"),
            ("jaeger", "/map"),
            ("prometheus", "/"),
            ("mailpit", "/"),
            ("mailpit", "/search?q=to:ada"),
            ("mailpit", "/view/someid"),
        ],
    )
    def test_policy_allows_only_files_of_the_same_port(self, observatory: Observatory, name: str, path: str) -> None:
        page = observatory.get(name, path)

        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "script-src 'self'" in policy
        assert "unsafe" not in policy
        assert page.headers["x-content-type-options"] == "nosniff"
        for address in re.findall(r'(?:src|href)="([^"]+)"', page.text):
            assert address.startswith(("/", "#", "data:,"))
            if address.startswith("/assets/"):
                assert observatory.get(name, address).status_code == 200

    @pytest.mark.parametrize("name", sorted(item.name for item in ASSETS.iterdir()))
    def test_files_have_no_inline_code_and_create_no_markup(self, name: str) -> None:
        text = (ASSETS / name).read_text()

        forbidden = ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "DOMParser")
        assert not [word for word in forbidden if word in text]
        assert not re.search(r"<script>|\son\w+=|style=\"|https?://(?!www\.w3\.org)", text)

    def test_imported_scripts_exist(self) -> None:
        for script in (item for item in ASSETS.iterdir() if item.name.endswith(".js")):
            for name in re.findall(r'from "\./([^"]+)"', script.read_text()):
                assert (ASSETS / name).is_file()


class TestInjection:
    def test_span_data_is_in_json_responses_and_not_in_pages(
        self, observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        span = create_telemetry(observatory, SCRIPT).tracer.start_span(SCRIPT, attributes={SCRIPT: SCRIPT})
        span.end()
        trace_id = trace_id_of(span)

        for path in (f"/api/traces/{trace_id}", "/observatory/traces", "/api/services"):
            response = observatory.get("jaeger", path)
            assert response.headers["content-type"] == "application/json"
            assert SCRIPT in response.text
        assert SCRIPT not in observatory.get("jaeger", f"/trace/{trace_id}").text

    def test_policy_of_an_email_forbids_scripts_and_foreign_content(self, observatory: Observatory) -> None:
        message = EmailMessage()
        message["From"], message["To"], message["Subject"] = "a@b.c", "d@e.f", SCRIPT
        message.set_content(SCRIPT, subtype="html")
        observatory.send_email(message)

        mail_id = observatory.get("mailpit", "/api/v1/message/latest").json()["ID"]
        body = observatory.get("mailpit", f"/view/{mail_id}.html")

        assert SCRIPT in body.text
        policy = body.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "sandbox" in policy
        assert "allow-scripts" not in policy


class TestPageData:
    def test_summary_and_log_records_of_a_trace_are_returned(
        self, observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        shop, users = create_telemetry(observatory, "shop"), create_telemetry(observatory, "users")
        with shop.tracer.start_as_current_span("root") as root, users.tracer.start_as_current_span("child"):
            users.log("user_found", user_id="u-1")
        trace_id = trace_id_of(root)

        summary = observatory.get("jaeger", "/observatory/traces", limit=1).json()["traces"][0]
        (line,) = observatory.get("jaeger", f"/observatory/traces/{trace_id}/logs").json()["lines"]

        assert (summary["trace_id"], summary["service"], summary["operation"]) == (trace_id, "shop", "root")
        assert (summary["spans"], summary["errors"]) == (2, 0)
        assert summary["services"] == {"shop": 1, "users": 1}
        assert (line["line"], line["level"], line["service"]) == ("user_found", "warn", "users")
        assert line["attributes"] == {"user_id": "u-1"}

    def test_log_record_of_an_exception_has_type_message_and_stack_trace(self, observatory: Observatory) -> None:
        trace_id = export_exception(observatory)

        (line,) = observatory.get("jaeger", f"/observatory/traces/{trace_id}/logs").json()["lines"]

        attributes = line["attributes"]
        assert (line["line"], line["level"], line["service"]) == ("order_failed", "error", "orders")
        assert attributes.keys() == {"order_id", "exception_type", "exception_message", "exception_stacktrace"}
        assert attributes["exception_type"] == "ValueError"
        assert attributes["exception_message"] == "invalid literal for int() with base 10: 'one'"
        assert attributes["exception_stacktrace"].startswith("Traceback (most recent call last):\n")

    def test_emails_of_a_trace_are_found_by_their_header(self, observatory: Observatory) -> None:
        trace_id, other_id = "0123456789abcdef" * 2, "fedcba9876543210" * 2
        for subject, header, body in (
            ("first", trace_id, ""),
            ("quoting", other_id, f"X-Trace-Id: {trace_id}"),
            ("last", trace_id, ""),
        ):
            message = EmailMessage()
            message["From"], message["To"], message["Subject"] = "a@b.c", "d@e.f", subject
            message["Message-ID"], message["X-Trace-Id"] = f"<{subject}@b.c>", header
            message.set_content(body)
            observatory.send_email(message)

        mails = observatory.get("jaeger", f"/observatory/traces/{trace_id}/mails").json()["mails"]

        assert [(mail["subject"], mail["message_id"], mail["to"]) for mail in mails] == [
            ("first", "first@b.c", ["d@e.f"]),
            ("last", "last@b.c", ["d@e.f"]),
        ]
        assert observatory.get("mailpit", f"/api/v1/message/{mails[0]['id']}").json()["Subject"] == "first"

    def test_log_records_and_emails_are_found_by_every_form_of_a_trace_id(
        self, observatory: Observatory, create_telemetry: CreateTelemetry
    ) -> None:
        users = create_telemetry(observatory, "users")
        context = SpanContext(trace_id=0xABC, span_id=1, is_remote=True)
        with use_span(NonRecordingSpan(context)):
            users.log("user_found")
        message = EmailMessage()
        message["From"], message["To"], message["X-Trace-Id"] = "a@b.c", "d@e.f", "abc".rjust(32, "0")
        observatory.send_email(message)

        for trace_id in ("abc".rjust(32, "0"), "ABC".rjust(32, "0"), "abc"):
            (line,) = observatory.get("jaeger", f"/observatory/traces/{trace_id}/logs").json()["lines"]
            assert line["line"] == "user_found"
            assert len(observatory.get("jaeger", f"/observatory/traces/{trace_id}/mails").json()["mails"]) == 1

    @pytest.mark.parametrize("content", ["logs", "mails"])
    def test_response_is_400_when_the_trace_id_is_invalid(self, observatory: Observatory, content: str) -> None:
        response = observatory.get("jaeger", f"/observatory/traces/xyz/{content}")

        assert response.status_code == 400
        assert "cannot parse trace id 'xyz'" in response.json()["errors"][0]["msg"]

    def test_response_is_400_when_the_search_is_invalid(self, observatory: Observatory) -> None:
        response = observatory.get("jaeger", "/observatory/traces", minDuration="fast")

        assert response.status_code == 400
        assert "minDuration" in response.json()["errors"][0]["msg"]
