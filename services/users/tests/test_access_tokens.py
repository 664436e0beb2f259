import time
import uuid
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from testkit.tokens import AUDIENCE, ISSUER, TokenIssuer
from users.keys import public_jwk

from .conftest import RunService
from .factories import bearer, create_user_and_log_in

FIFTEEN_MINUTES_S = 15 * 60


class TestIssuedToken:
    async def test_token_identifies_the_user_and_expires_after_15_minutes(
        self, users: httpx.AsyncClient, issuer: TokenIssuer
    ) -> None:
        user, tokens = await create_user_and_log_in(users)
        token = tokens["access_token"]
        assert jwt.get_unverified_header(token) == {"alg": "EdDSA", "typ": "JWT", "kid": issuer.key_id}
        public = issuer.private_key.public_key()
        claims = jwt.decode(token, public, algorithms=["EdDSA"], issuer=ISSUER, audience=AUDIENCE)
        assert set(claims) == {"sub", "role", "iss", "aud", "iat", "exp", "jti"}
        assert (claims["sub"], claims["role"]) == (user["id"], "customer")
        assert claims["exp"] - claims["iat"] == FIFTEEN_MINUTES_S
        assert abs(claims["iat"] - time.time()) < 60


class TestVerification:
    @pytest.mark.parametrize(
        "claims",
        [
            pytest.param({"lifetime": -60}, id="expired"),
            pytest.param({"iss": "somebody-else"}, id="another issuer"),
            pytest.param({"aud": "another-shop"}, id="another audience"),
            pytest.param({"role": "owner"}, id="unknown role"),
            pytest.param({"sub": "7"}, id="subject is not a UUID"),
            pytest.param({"exp": None}, id="without exp"),
            pytest.param({"jti": None}, id="without jti"),
            pytest.param({"role": None}, id="without role"),
        ],
    )
    async def test_token_is_rejected_when_a_claim_is_wrong_or_missing(
        self, users: httpx.AsyncClient, issuer: TokenIssuer, claims: dict[str, Any]
    ) -> None:
        user, _ = await create_user_and_log_in(users)
        headers = bearer(issuer.issue(**({"sub": user["id"]} | claims)))
        response = await users.get("/users/me", headers=headers)
        assert response.status_code == 401
        assert 'error="invalid_token"' in response.headers["WWW-Authenticate"]

    async def test_token_is_rejected_when_another_key_signed_it_with_the_key_id_of_the_service(
        self, users: httpx.AsyncClient, issuer: TokenIssuer
    ) -> None:
        untrusted = TokenIssuer(key_id=issuer.key_id)
        assert (await users.get("/users/me", headers=untrusted.headers(uuid.uuid4()))).status_code == 401

    async def test_token_is_rejected_when_the_key_id_is_unknown(self, users: httpx.AsyncClient) -> None:
        assert (await users.get("/users/me", headers=TokenIssuer().headers(uuid.uuid4()))).status_code == 401

    @pytest.mark.parametrize("algorithm", ["none", "HS256"])
    async def test_token_is_rejected_when_the_algorithm_differs(
        self, users: httpx.AsyncClient, issuer: TokenIssuer, algorithm: str
    ) -> None:
        claims = jwt.decode(issuer.issue(uuid.uuid4()), options={"verify_signature": False})
        secret = "" if algorithm == "none" else "a secret of thirty-two bytes or more"
        token = jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": issuer.key_id})
        assert (await users.get("/users/me", headers=bearer(token))).status_code == 401

    @pytest.mark.parametrize("authorization", ["", "Bearer", "Bearer x", "Bearer a.b.c", "Basic YTpi", "Token x"])
    async def test_request_is_rejected_when_the_header_has_no_valid_token(
        self, users: httpx.AsyncClient, authorization: str
    ) -> None:
        response = await users.get("/users/me", headers={"Authorization": authorization})
        assert response.status_code == 401


class TestPublishedKeys:
    async def test_published_keys_verify_issued_tokens(self, users: httpx.AsyncClient) -> None:
        _, tokens = await create_user_and_log_in(users)
        response = await users.get("/.well-known/jwks.json")
        assert response.headers["Cache-Control"] == "public, max-age=300"
        assert "d" not in response.json()["keys"][0]
        kid = jwt.get_unverified_header(tokens["access_token"])["kid"]
        key = jwt.PyJWKSet.from_dict(response.json())[kid]
        assert jwt.decode(tokens["access_token"], key, algorithms=["EdDSA"], audience=AUDIENCE)

    async def test_first_key_signs_and_all_keys_verify(self, run_service: RunService, issuer: TokenIssuer) -> None:
        previous = TokenIssuer()
        previous.key_id = public_jwk(previous.private_key)["kid"]
        async with run_service(signing_key=issuer.private_pem + previous.private_pem) as users:
            user, tokens = await create_user_and_log_in(users)
            assert jwt.get_unverified_header(tokens["access_token"])["kid"] == issuer.key_id
            published = (await users.get("/.well-known/jwks.json")).json()["keys"]
            assert [key["kid"] for key in published] == [issuer.key_id, previous.key_id]
            assert (await users.get("/users/me", headers=previous.headers(user["id"]))).status_code == 200


def test_key_id_is_the_thumbprint_of_the_key() -> None:
    """Use the key and the thumbprint of RFC 8037, appendix A."""
    private = jwt.utils.base64url_decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
    jwk = public_jwk(Ed25519PrivateKey.from_private_bytes(private))
    assert jwk["x"] == "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"
    assert jwk["kid"] == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
