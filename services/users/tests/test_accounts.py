import asyncio
import uuid
from typing import Any

import httpx
import pytest

from shared.web.app import MAX_BODY_BYTES
from testkit.tokens import TokenIssuer

from .conftest import ExecuteSql
from .factories import PASSWORD, bearer, create_user, create_user_and_log_in, log_in, registration_body

WRONG_PASSWORD = "wrong horse battery staple"


class TestRegister:
    async def test_register_returns_the_user(self, users: httpx.AsyncClient) -> None:
        response = await users.post("/users", json=registration_body(email="bea@hopline.example", name="  Bea "))
        assert response.status_code == 201
        user = response.json()
        assert set(user) == {"id", "email", "name", "role", "created_at"}
        assert (user["email"], user["name"], user["role"]) == ("bea@hopline.example", "Bea", "customer")
        assert user["created_at"].endswith("Z")
        assert uuid.UUID(user["id"])

    async def test_register_conflicts_when_the_address_is_taken_in_another_spelling(
        self, users: httpx.AsyncClient
    ) -> None:
        await create_user(users, email="carl@hopline.example")
        response = await users.post("/users", json=registration_body(email="CARL@Hopline.Example"))
        assert response.status_code == 409
        problem = response.json()
        assert problem["type"].endswith("/email-taken")
        assert problem["errors"] == [{"field": "email", "message": "is registered already"}]

    async def test_international_domain_is_stored_in_its_ascii_form(self, users: httpx.AsyncClient) -> None:
        user = await create_user(users, email="Eva@BÜCHER.example")
        assert user["email"] == "eva@xn--bcher-kva.example"
        assert (await log_in(users, "eva@bücher.example")).status_code == 200
        assert (await users.post("/users", json=registration_body(email="eva@bücher.example"))).status_code == 409

    async def test_one_account_is_created_when_requests_for_an_address_are_concurrent(
        self, users: httpx.AsyncClient
    ) -> None:
        body = registration_body()
        responses = await asyncio.gather(*(users.post("/users", json=body) for _ in range(8)))
        assert sorted(response.status_code for response in responses) == [201] + [409] * 7

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("email", None),
            ("email", "no-at-sign"),
            ("email", "two@at@hopline.example"),
            ("email", "line\nbreak@hopline.example"),
            ("email", "änn@hopline.example"),
            pytest.param("email", "a" * 250 + "@hopline.example", id="email far above 254 characters"),
            pytest.param("email", "a" * 65 + "@hopline.example", id="local part of 65 characters"),
            pytest.param("email", f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 54}.example", id="email of 255 characters"),
            ("email", "=?utf-8?q?x=40y.example?=@hopline.example"),
            ("email", 7),
            ("password", None),
            ("password", "short"),
            pytest.param("password", "x" * 129, id="password of 129 characters"),
            pytest.param("password", "e\N{COMBINING ACUTE ACCENT}" * 7, id="password of 7 characters in NFKC"),
            ("name", None),
            ("name", "   "),
            ("name", "x" * 101),
            ("name", "nul\x00"),
            ("name", "line\nbreak"),
            ("name", "line\N{LINE SEPARATOR}break"),
            ("name", "c1 \x9b31m"),
            ("name", "\N{RIGHT-TO-LEFT OVERRIDE}nnA"),
            ("name", "\N{ZERO WIDTH SPACE}"),
            ("name", "\N{SOFT HYPHEN}\N{SOFT HYPHEN}"),
            ("name", "\N{HANGUL FILLER}"),
            ("name", "\N{BRAILLE PATTERN BLANK}"),
            ("name", "\N{COMBINING ACUTE ACCENT}\N{VARIATION SELECTOR-16}"),
            ("name", "\N{TAG LATIN SMALL LETTER A}"),
            ("name", "=?utf-8?q?x=0D=0ABcc:_y=40evil.example=0D=0AX:_?="),
            ("name", "=?utf-8?b?eCA8dmljdGltQHRoaXJkLmV4YW1wbGU+?="),
            ("role", "admin"),
        ],
    )
    async def test_register_names_the_field_when_it_is_invalid(
        self, users: httpx.AsyncClient, field: str, value: object
    ) -> None:
        response = await users.post("/users", json=registration_body(**{field: value}))
        assert response.status_code == 422
        assert response.headers["Content-Type"] == "application/problem+json"
        problem = response.json()
        assert [error["field"] for error in problem["errors"]] == [field]
        assert PASSWORD not in response.text

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            pytest.param("email", f"{'a' * 64}@hopline.example", id="local part of 64 characters"),
            pytest.param("email", f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 53}.example", id="email of 254 characters"),
            ("name", "\N{ZERO WIDTH SPACE}Ann"),
            ("name", "ن\N{ZERO WIDTH NON-JOINER}م"),
            ("name", "👩\N{ZERO WIDTH JOINER}🚀"),
            ("name", "?!"),
            ("password", "é" * 8),
        ],
    )
    async def test_register_succeeds_when_the_value_is_unusual_but_valid(
        self, users: httpx.AsyncClient, field: str, value: str
    ) -> None:
        response = await users.post("/users", json=registration_body(**{field: value}))
        assert response.status_code == 201
        assert response.json().get(field, value) == value

    async def test_error_messages_explain_what_is_expected(self, users: httpx.AsyncClient) -> None:
        response = await users.post("/users", json=registration_body(email="ann", password="short", name="\x07"))
        assert [error["message"] for error in response.json()["errors"]] == [
            "An email address must have an @-sign.",
            "String should have at least 8 characters",
            "must not contain control characters",
        ]

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            (b"", 422),
            (b"{", 400),
            (b'{"email": }', 400),
            (b"\xff\xfe", 400),
            (b'{"name": "\\ud800"}', 422),
            (b"[]", 422),
            (b"null", 422),
        ],
    )
    async def test_register_is_rejected_when_the_body_is_malformed(
        self, users: httpx.AsyncClient, body: bytes, status: int
    ) -> None:
        response = await users.post("/users", content=body, headers={"Content-Type": "application/json"})
        assert response.status_code == status
        assert response.headers["Content-Type"] == "application/problem+json"

    async def test_register_is_rejected_when_the_body_is_too_large(self, users: httpx.AsyncClient) -> None:
        response = await users.post("/users", json=registration_body(name="x" * (MAX_BODY_BYTES + 1)))
        assert response.status_code == 413


class TestMe:
    async def test_me_returns_the_callers_account(self, users: httpx.AsyncClient) -> None:
        user, tokens = await create_user_and_log_in(users)
        response = await users.get("/users/me", headers=bearer(tokens["access_token"]))
        assert response.status_code == 200
        assert response.json() == user

    async def test_update_changes_the_name(self, users: httpx.AsyncClient) -> None:
        user, tokens = await create_user_and_log_in(users)
        headers = bearer(tokens["access_token"])
        response = await users.patch("/users/me", json={"name": "Anna 😀"}, headers=headers)
        assert response.status_code == 200
        assert response.json() == user | {"name": "Anna 😀"}
        assert (await users.get("/users/me", headers=headers)).json()["name"] == "Anna 😀"

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"name": None},
            {"name": ""},
            {"name": "\N{ZERO WIDTH SPACE}"},
            {"name": "=?utf-8?q?x?="},
            {"name": "A", "role": "admin"},
            {"id": "1"},
        ],
    )
    async def test_update_is_rejected_when_the_body_is_invalid(
        self, users: httpx.AsyncClient, body: dict[str, Any]
    ) -> None:
        user, tokens = await create_user_and_log_in(users)
        headers = bearer(tokens["access_token"])
        assert (await users.patch("/users/me", json=body, headers=headers)).status_code == 422
        assert (await users.get("/users/me", headers=headers)).json() == user

    @pytest.mark.parametrize("method", ["GET", "PATCH"])
    async def test_me_is_unauthorized_when_the_token_is_missing(self, users: httpx.AsyncClient, method: str) -> None:
        response = await users.request(method, "/users/me", json={"name": "A"})
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"].startswith("Bearer")

    async def test_me_is_not_found_when_the_subject_has_no_account(
        self, users: httpx.AsyncClient, issuer: TokenIssuer
    ) -> None:
        headers = issuer.headers(uuid.uuid4())
        assert (await users.get("/users/me", headers=headers)).status_code == 404
        assert (await users.patch("/users/me", json={"name": "A"}, headers=headers)).status_code == 404


class TestInternalRoutes:
    @pytest.mark.parametrize(("role", "status"), [("service", 200), ("admin", 200), ("customer", 403)])
    async def test_account_is_returned_only_to_services_and_admins(
        self, users: httpx.AsyncClient, issuer: TokenIssuer, role: str, status: int
    ) -> None:
        user = await create_user(users)
        headers = issuer.headers(uuid.uuid4(), role=role)
        response = await users.get(f"/internal/users/{user['id']}", headers=headers)
        assert response.status_code == status
        if status == 200:
            assert response.json() == user
        else:
            assert user["email"] not in response.text

    async def test_account_is_unauthorized_when_the_token_is_missing(self, users: httpx.AsyncClient) -> None:
        assert (await users.get(f"/internal/users/{uuid.uuid4()}")).status_code == 401

    @pytest.mark.parametrize(
        ("user_id", "status"), [(str(uuid.uuid4()), 404), ("7", 422)], ids=["unknown", "not a UUID"]
    )
    async def test_account_is_an_error_when_the_id_is_unknown_or_invalid(
        self, users: httpx.AsyncClient, issuer: TokenIssuer, user_id: str, status: int
    ) -> None:
        headers = issuer.headers(uuid.uuid4(), role="service")
        assert (await users.get(f"/internal/users/{user_id}", headers=headers)).status_code == status

    async def test_admins_are_listed_when_the_caller_is_a_service(
        self, users: httpx.AsyncClient, execute_sql: ExecuteSql, issuer: TokenIssuer
    ) -> None:
        admin = await create_user(users)
        await create_user(users)
        await execute_sql("UPDATE account SET role = 'admin' WHERE email = $1", admin["email"])
        response = await users.get("/internal/admins", headers=issuer.headers(uuid.uuid4(), role="service"))
        assert [found["email"] for found in response.json()] == [admin["email"]]

    async def test_admins_are_forbidden_when_the_caller_is_a_customer(
        self, users: httpx.AsyncClient, issuer: TokenIssuer
    ) -> None:
        response = await users.get("/internal/admins", headers=issuer.headers(uuid.uuid4()))
        assert response.status_code == 403


async def test_passwords_are_stored_as_argon2id_hashes_and_not_logged(
    users: httpx.AsyncClient, execute_sql: ExecuteSql, capsys: pytest.CaptureFixture[str]
) -> None:
    user = await create_user(users)
    await log_in(users, user["email"], WRONG_PASSWORD)
    (account,) = await execute_sql("SELECT * FROM account")
    assert account["password_hash"].startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    output = capsys.readouterr().out
    assert "user_registered" in output
    assert "token_rejected" in output
    assert user["email"] not in output
    assert PASSWORD not in output
    assert WRONG_PASSWORD not in output
