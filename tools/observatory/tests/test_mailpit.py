"""Emails that SMTP clients send, read through Mailpit's API."""

import secrets
import smtplib
import socket
from email.message import EmailMessage
from typing import Any

import aiosmtplib
import httpx
import pytest

from testkit.observatory import Observatory


def build_email(
    subject: str = "Your order", to: str = "Ada Lovelace <ada@example.org>", **headers: str
) -> EmailMessage:
    """Build an email with a text and an HTML part. An underscore in a header's name stands for a hyphen."""
    message = EmailMessage()
    message["From"] = "Hopline <shop@hopline.example>"
    message["To"] = to
    message["Subject"] = subject
    for name, value in headers.items():
        message[name.replace("_", "-")] = value
    message.set_content("Thank you, Ada.\nIt is on its way.\n")
    message.add_alternative("<p>Thank you, <b>Ada</b>.</p>", subtype="html")
    return message


@pytest.fixture
def subject() -> str:
    return f"Your order {secrets.token_hex(6)}"


def search(observatory: Observatory, query: str, **params: Any) -> Any:
    response = observatory.get("mailpit", "/api/v1/search", query=query, **params)
    assert response.status_code == 200, response.text
    return response.json()


class TestMessages:
    def test_summary_has_the_format_of_mailpit(self, observatory: Observatory, subject: str) -> None:
        observatory.send_email(
            build_email(subject, Message_ID="<one@hopline.example>", Reply_To="help@hopline.example")
        )

        (summary,) = search(observatory, f'subject:"{subject}"')["messages"]

        assert sorted(summary) == sorted(
            [
                "ID",
                "MessageID",
                "Read",
                "From",
                "To",
                "Cc",
                "Bcc",
                "ReplyTo",
                "Subject",
                "Created",
                "Username",
                "Tags",
                "Size",
                "Attachments",
                "Snippet",
            ]
        )
        assert summary["MessageID"] == "one@hopline.example"
        assert summary["From"] == {"Name": "Hopline", "Address": "shop@hopline.example"}
        assert summary["To"] == [{"Name": "Ada Lovelace", "Address": "ada@example.org"}]
        assert summary["ReplyTo"] == [{"Name": "", "Address": "help@hopline.example"}]
        assert summary["Snippet"] == "Thank you, Ada. It is on its way."
        assert summary["Read"] is False

    def test_message_has_both_bodies_and_becomes_read(self, observatory: Observatory, subject: str) -> None:
        observatory.send_email(build_email(subject))
        (summary,) = search(observatory, f'subject:"{subject}" is:unread')["messages"]

        message = observatory.get("mailpit", f"/api/v1/message/{summary['ID']}").json()

        assert message["Text"] == "Thank you, Ada.\r\nIt is on its way.\r\n"
        assert message["HTML"] == "<p>Thank you, <b>Ada</b>.</p>\r\n"
        assert message["Subject"] == subject
        assert {"Date", "ReturnPath", "Attachments", "Inline", "ListUnsubscribe"} <= message.keys()
        assert search(observatory, f'subject:"{subject}" is:unread')["messages"] == []

    def test_source_and_headers_are_returned(self, observatory: Observatory, subject: str) -> None:
        observatory.send_email(build_email(subject, X_Trace="4bf92f"))
        mail_id = search(observatory, f'subject:"{subject}"')["messages"][0]["ID"]

        raw = observatory.get("mailpit", f"/api/v1/message/{mail_id}/raw")
        headers = observatory.get("mailpit", f"/api/v1/message/{mail_id}/headers").json()

        assert f"Subject: {subject}" in raw.text
        assert raw.headers["content-type"].startswith("text/plain")
        assert headers["X-Trace"] == ["4bf92f"]

    def test_latest_is_the_newest_message(self, observatory: Observatory, subject: str) -> None:
        observatory.send_email(build_email(subject))

        assert observatory.get("mailpit", "/api/v1/message/latest").json()["Subject"] == subject

    def test_pages_list_messages_newest_first(self, observatory: Observatory) -> None:
        for number in range(3):
            observatory.send_email(build_email(f"page {number}"))

        first = observatory.get("mailpit", "/api/v1/messages", limit=2).json()
        second = observatory.get("mailpit", "/api/v1/messages", limit=1, start=2).json()

        assert [item["Subject"] for item in first["messages"]] == ["page 2", "page 1"]
        assert [item["Subject"] for item in second["messages"]] == ["page 0"]
        assert (first["count"], first["start"], second["start"]) == (2, 0, 2)
        assert first["total"] == first["messages_count"] >= 3

    def test_response_is_404_when_the_message_is_unknown(self, observatory: Observatory) -> None:
        assert observatory.get("mailpit", "/api/v1/message/unknown").status_code == 404

    async def test_unicode_is_received_from_aiosmtplib(self, observatory: Observatory) -> None:
        message = build_email("Grüße ☕", to="Zoë <zoe@example.org>")

        await aiosmtplib.send(message, hostname="127.0.0.1", port=observatory.port("smtp"), start_tls=False)

        summary = observatory.get("mailpit", "/api/v1/message/latest").json()
        assert summary["Subject"] == "Grüße ☕"
        assert summary["To"] == [{"Name": "Zoë", "Address": "zoe@example.org"}]

    def test_recipients_without_a_header_and_attachments_are_returned(
        self, observatory: Observatory, subject: str
    ) -> None:
        message = build_email(subject)
        message.add_attachment(b"a,b\n", maintype="text", subtype="csv", filename="orders.csv")
        observatory.send_email(message, recipients=["ada@example.org", "hidden@example.org"])

        opened = observatory.get("mailpit", "/api/v1/message/latest").json()

        assert opened["Bcc"] == [{"Name": "", "Address": "hidden@example.org"}]
        (part,) = opened["Attachments"]
        assert (part["FileName"], part["ContentType"], part["Size"]) == ("orders.csv", "text/csv", 4)

    def test_selected_messages_or_all_messages_are_deleted(self, observatory: Observatory) -> None:
        for name in ("keep", "drop"):
            observatory.send_email(build_email(f"delete {name}"))
        drop = search(observatory, "subject:drop")["messages"][0]["ID"]
        url = observatory.url("mailpit", "/api/v1/messages")

        some = httpx.request("DELETE", url, json={"IDs": [drop]})

        assert (some.status_code, some.text) == (200, "ok")
        assert len(search(observatory, '"delete keep"')["messages"]) == 1
        assert search(observatory, '"delete drop"')["messages"] == []
        assert httpx.request("DELETE", url, json={"IDs": "all"}).status_code == 400
        assert httpx.request("DELETE", url).text == "ok"
        assert observatory.get("mailpit", "/api/v1/messages").json()["total"] == 0

    def test_info_contains_the_numbers_of_stored_and_unread_emails(
        self, observatory: Observatory, subject: str
    ) -> None:
        httpx.request("DELETE", observatory.url("mailpit", "/api/v1/messages"))
        for _ in range(3):
            observatory.send_email(build_email(subject))
        observatory.get("mailpit", "/api/v1/message/latest")

        info = observatory.get("mailpit", "/api/v1/info").json()

        assert (info["Messages"], info["Unread"]) == (3, 2)
        assert info["RuntimeStats"]["SMTPAccepted"] >= 3

    def test_probes_succeed(self, observatory: Observatory) -> None:
        assert observatory.get("mailpit", "/livez").status_code == 200
        assert observatory.get("mailpit", "/readyz").status_code == 200


class TestSearch:
    @pytest.mark.parametrize(
        ("query", "is_found"),
        [
            ("thank", True),
            ('"it is on its way"', True),
            ("to:ada@example.org", True),
            ("to:bob@example.org", False),
            ("from:hopline", True),
            ("addressed:lovelace", True),
            ("message-id:two@hopline.example", True),
            ("to:ada thank", True),
            ("to:ada nothing", False),
            ("-to:bob", True),
            ("!thank", False),
            ("has:attachment", False),
            ("bcc:ada", False),
        ],
    )
    def test_search_finds_matching_messages(
        self, observatory: Observatory, subject: str, query: str, *, is_found: bool
    ) -> None:
        observatory.send_email(build_email(subject, Message_ID="<two@hopline.example>"))

        assert bool(search(observatory, f'subject:"{subject}" {query}')["messages"]) == is_found

    @pytest.mark.parametrize("query", ["", "tag:x", "before:2026-01-01", "is:tagged", "larger:1M", "x " * 21])
    def test_error_names_the_supported_syntax_when_the_search_is_unsupported(
        self, observatory: Observatory, query: str
    ) -> None:
        response = observatory.get("mailpit", "/api/v1/search", query=query)

        assert response.status_code == 400
        assert "supported here: words, to:" in response.text

    @pytest.mark.parametrize(
        "params",
        [
            {"limit": "many"},
            {"limit": "1_0"},
            {"limit": "٣"},
            {"limit": "1000000000"},
            {"start": "-1"},
            {"start": "+1"},
            {"start": "٣"},
        ],
    )
    def test_list_is_rejected_when_a_parameter_is_invalid(
        self, observatory: Observatory, params: dict[str, Any]
    ) -> None:
        assert observatory.get("mailpit", "/api/v1/messages", **params).status_code == 400


class TestReceiver:
    def test_message_is_rejected_when_it_is_too_large(self, observatory: Observatory) -> None:
        message = build_email("large")
        message.add_attachment(bytes(2 * 1024 * 1024), maintype="a", subtype="b", filename="large")

        with pytest.raises(smtplib.SMTPException, match="552"):
            observatory.send_email(message)

    def test_message_is_rejected_when_its_parts_are_deeply_nested(self, observatory: Observatory) -> None:
        head = b"From: a@b.c\r\n"
        for depth in range(3_000):
            head += b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (depth, depth)
        with pytest.raises(smtplib.SMTPDataError, match="nested too deeply"):
            observatory.send_email(head)

    @pytest.mark.parametrize(
        "head",
        [
            b"Content-Type: text/plain; charset*=utf-8''a; charset*0=b",
            b"Content-Type: multipart/mixed; boundary*=utf-8''a; boundary*0=b",
            b"Content-Type: image/png\r\nContent-Disposition: attachment; filename*=utf-8''a; filename*0=b",
        ],
        ids=["charset", "boundary", "file name"],
    )
    def test_message_is_rejected_when_a_parameter_has_a_value_and_sections(
        self, observatory: Observatory, head: bytes
    ) -> None:
        with pytest.raises(smtplib.SMTPDataError, match="RFC 2231"):
            observatory.send_email(head + b"\r\n\r\nbody")
        assert observatory.get("mailpit", "/api/v1/messages").status_code == 200

    @pytest.mark.parametrize("name", ["Subject", "From"])
    def test_encoded_header_is_returned_undecoded_when_its_base64_is_invalid(
        self, observatory: Observatory, name: str
    ) -> None:
        value = "=?utf-8?b?abcde?="
        observatory.send_email(f"{name}: {value} <a@b.c>\r\n\r\nbody".encode())

        listed = observatory.get("mailpit", "/api/v1/messages", limit=1)
        assert listed.status_code == 200
        [summary] = listed.json()["messages"]
        shown = {"Subject": summary["Subject"], "From": f"{summary['From']['Name']} <{summary['From']['Address']}>"}
        assert shown[name] == f"{value} <a@b.c>"

    def test_message_is_returned_unchanged_when_it_is_not_an_email(self, observatory: Observatory) -> None:
        raw = b"\xff\xfe no headers, no sense\r\n"
        observatory.send_email(raw)

        opened = observatory.get("mailpit", "/api/v1/message/latest")
        assert opened.status_code == 200
        assert opened.json()["Bcc"] == [{"Name": "", "Address": "d@e.f"}]
        assert observatory.get("mailpit", "/api/v1/message/latest/raw").content == raw

    def test_other_clients_are_served_when_a_client_is_silent(self, observatory: Observatory, subject: str) -> None:
        with socket.create_connection(("127.0.0.1", observatory.port("smtp")), timeout=10):
            observatory.send_email(build_email(subject))

        assert len(search(observatory, f'subject:"{subject}"')["messages"]) == 1
