"""Bearer JWTs: whom a good one names, and that no bad one passes, with real keys and a real JWKS
server.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from pydantic import SecretStr, ValidationError

from api.http.bearer_tokens import caller_of
from api.http.signing_keys import SigningKeys, usable
from streams.errors import DependencyDownError, ForbiddenError, UnauthorizedError
from streams.settings import Settings
from tables.tenants.api_keys import ROLES
from tests.api.campaigns.test_routes import problem
from tests.api.http.token_issuer import (
    AUDIENCE,
    ISSUER,
    Issuer,
    claims_of,
    issuing,
    new_key,
    unsigned,
)
from tests.api.world import Rest, resting


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as issuer:
        yield issuer


def _settings(database: str, issuer: Issuer, **more: Any) -> Settings:
    jwts = {"jwt_issuer": ISSUER, "jwt_audience": AUDIENCE, "jwt_jwks_url": issuer.url, **more}
    keys = (SecretStr("00" * 32),)
    return Settings(
        kafka="127.0.0.1:1", nats="nats://127.0.0.1:1", postgres=database, message_keys=keys, **jwts
    )


@pytest.fixture
async def rest(database: str, issuer: Issuer) -> AsyncIterator[Rest]:
    async with resting(_settings(database, issuer)) as rest:
        yield rest


async def ask(
    rest: Rest, token: str, method: str = "GET", path: str = "/campaigns", **more: Any
) -> httpx.Response:
    return await rest.nobody.request(
        method, path, headers={"Authorization": f"Bearer {token}"}, **more
    )


async def test_a_good_token_names_tenant_user_and_role(rest: Rest, issuer: Issuer) -> None:
    for kid in ("RS256", "ES256", "EdDSA"):
        assert (await ask(rest, issuer.token(kid))).status_code == 200, kid
    user = uuid4()
    made = await ask(
        rest, issuer.token("ES256", role="editor", sub=str(user)), "POST", json=rest.world.draft()
    )
    assert (
        made.status_code,
        made.json()["data"]["createdBy"],
        made.json()["data"]["tenantId"],
    ) == (201, str(user), "acme")
    problem(
        await ask(rest, issuer.token("ES256", role="viewer"), "POST", json=rest.world.draft()), 403
    )
    problem(
        await ask(
            rest,
            issuer.token("ES256", tenant_id="globex"),
            path=f"/campaigns/{made.json()['data']['id']}",
        ),
        404,
    )
    assert (await rest.admin.get("/campaigns")).status_code == 200, "API keys go on working"
    assert issuer.fetches == 1


async def test_a_token_that_is_wrong_in_any_way_answers_401(rest: Rest, issuer: Issuer) -> None:
    now = int(time.time())
    public = issuer.keys["RS256"][1].public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    hmac = unsigned({"alg": "HS256", "kid": "RS256"}, claims_of())
    signed = jwt.api_jws.PyJWS().get_algorithm_by_name("HS256")
    good = issuer.token("ES256", headers={"kid": "ES256"})
    stranger = Issuer(keys={"ES256": new_key("ES256")})
    bad = {
        "no signature": unsigned({"alg": "none", "kid": "RS256"}, claims_of()),
        "the public key as an HMAC key": hmac
        + unsigned({}, {}, signed.sign(hmac[:-1].encode(), pem)).rpartition(".")[2],
        "another algorithm of a good key": issuer.token("ES256", headers={"kid": "RS256"}),
        "another key": stranger.token("ES256"),
        "an algorithm that is not accepted": jwt.encode(
            claims_of(), issuer.keys["RS256"][1], "PS256", {"kid": "RS256"}
        ),
        "another audience": issuer.token("ES256", aud="billing"),
        "another issuer": issuer.token("ES256", iss="https://evil.example/"),
        "expired": issuer.token("ES256", exp=now - 40),
        "not valid yet": issuer.token("ES256", nbf=now + 40),
        "no end": issuer.token("ES256", without=("exp",)),
        "no audience": issuer.token("ES256", without=("aud",)),
        "no issuer": issuer.token("ES256", without=("iss",)),
        "no user": issuer.token("ES256", without=("sub",)),
        "a user that is no text": unsigned({"alg": "ES256", "kid": "ES256"}, claims_of(sub=7)),
        "an unknown key": issuer.token("ES256", headers={"kid": "other"}),
        "no key id": jwt.encode(claims_of(), issuer.keys["ES256"][1], "ES256"),
        "a header that must be understood": issuer.token(
            "ES256", headers={"crit": ["b64"], "b64": False}
        ),
        "a changed claim": ".".join(
            (
                good.split(".")[0],
                unsigned({}, claims_of(role="admin")).split(".")[1],
                good.split(".")[2],
            )
        ),
        "no JSON": "a.b.c",
        "nothing at all": "..",
        "an endless header": "[" * 9000 + ".x.x",
        "a deep header": unsigned({"alg": "ES256"}, {}).replace("eyJ", "W1tb" * 1500, 1),
    }
    for what, token in bad.items():
        found = problem(await ask(rest, token), 401)
        assert found["type"] == "urn:campaigns:problem:unauthorized" and token not in str(found), (
            what
        )
    assert issuer.fetches == 1, "made-up key ids do not make us ask the issuer"
    for what, token in {
        "the leeway": issuer.token("ES256", exp=now - 20, nbf=now + 20),
        "several audiences": issuer.token("RS256", aud=["billing", AUDIENCE]),
    }.items():
        assert (await ask(rest, token)).status_code == 200, what


async def test_a_good_token_without_a_tenant_or_role_of_ours_answers_403(
    rest: Rest, issuer: Issuer
) -> None:
    for claims in (
        {"tenant_id": "nobody"},
        {"tenant_id": "No Body"},
        {"tenant_id": None},
        {"tenant_id": ["acme"]},
        {"role": "root"},
        {"role": 7},
    ):
        problem(await ask(rest, issuer.token("ES256", **claims)), 403)
    problem(await ask(rest, issuer.token("ES256", without=("role",))), 403)
    problem(await ask(rest, issuer.token("ES256", without=("tenant_id",))), 403)


async def test_while_the_issuer_is_away_known_keys_work_and_unknown_ones_answer_503(
    database: str, issuer: Issuer
) -> None:
    issuer.status = 500
    async with resting(_settings(database, issuer)) as rest:
        for _ in range(3):
            answer = await ask(rest, issuer.token("ES256"))
            assert (
                problem(answer, 503)["type"] == "urn:campaigns:problem:dependency-down"
                and answer.headers["retry-after"]
            )
        assert issuer.fetches == 1
        assert (await rest.admin.get("/campaigns")).status_code == 200


async def test_without_an_issuer_in_the_settings_no_token_is_accepted(
    database: str, issuer: Issuer
) -> None:
    async with resting(_settings(database, issuer, jwt_issuer="")) as rest:
        problem(await ask(rest, issuer.token("ES256")), 401)
    assert issuer.fetches == 0


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def keys(issuer: Issuer) -> AsyncIterator[tuple[SigningKeys, _Clock]]:
    clock = _Clock()
    keys = SigningKeys(issuer.url, clock=clock)
    yield keys, clock
    await keys.close()


async def test_a_rotated_key_is_found_within_a_minute_and_a_withdrawn_one_stops(
    keys: tuple[SigningKeys, _Clock], issuer: Issuer
) -> None:
    known, clock = keys
    assert (await known.key("RS256")).algorithm_name == "RS256"
    issuer.keys["new"] = new_key("ES256")
    for _ in range(5):
        with pytest.raises(UnauthorizedError):
            await known.key("new")
    assert issuer.fetches == 1
    clock.now += 60
    assert (await known.key("new")).algorithm_name == "ES256"
    del issuer.keys["RS256"]
    assert await known.key("RS256")
    clock.now += 600
    with pytest.raises(UnauthorizedError):
        await known.key("RS256")
    assert issuer.fetches == 3


async def test_a_failed_fetch_keeps_the_last_good_keys(
    keys: tuple[SigningKeys, _Clock], issuer: Issuer
) -> None:
    known, clock = keys
    await known.key("EdDSA")
    for broken in ("status", "empty"):
        issuer.status, issuer.keys = (500, issuer.keys) if broken == "status" else (200, {})
        clock.now += 700
        assert await known.key("EdDSA"), broken
        clock.now += 60
        with pytest.raises(DependencyDownError):
            await known.key("perhaps-new")


def test_only_keys_that_are_safe_are_used() -> None:
    weak = jwt.algorithms.RSAAlgorithm.to_jwk(
        rsa.generate_private_key(65537, 1024).public_key(), as_dict=True
    )
    secret = {
        "kty": "oct",
        "k": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0",
        "kid": "secret",
        "alg": "HS256",
    }
    others: list[object] = [
        secret,
        {**weak, "kid": "weak"},
        {"kty": "what", "kid": "x"},
        {},
        None,
        7,
        "x",
        {"kty": "RSA", "kid": "cut"},
    ]
    assert usable({"keys": others}) == {}
    with issuing() as issuer:
        published = json.loads(issuer.document())["keys"]
        assert set(usable({"keys": [*others, *published]})) == set(issuer.keys)
    nothing: list[object] = [None, [], "x", {"keys": None}, {"keys": 7}, {}]
    for document in nothing:
        assert usable(document) == {}


def test_a_user_is_its_uuid_or_always_the_same_one() -> None:
    settings = Settings(
        kafka="",
        postgres="",
        nats="",
        message_keys=(SecretStr("00" * 32),),
        jwt_issuer=ISSUER,
        jwt_audience="a",
        jwt_jwks_url="https://x",
    )
    user = uuid4()
    assert caller_of(claims_of(sub=str(user)), settings).user_id == user
    first, again, other = (
        caller_of(claims_of(sub=sub), settings).user_id for sub in ("ana", "ana", "bob")
    )
    assert first == again != other and isinstance(first, UUID)
    assert caller_of(claims_of(role=["viewer", "sender", "x"]), settings).role == "sender"
    for role in ROLES:
        assert caller_of(claims_of(role=role), settings).role == role
    with pytest.raises(ForbiddenError, match="role"):
        caller_of(claims_of(role=[]), settings)


@pytest.mark.parametrize("missing", ["jwt_audience", "jwt_jwks_url"])
def test_an_issuer_needs_an_audience_and_a_place_for_keys(missing: str) -> None:
    values: dict[str, Any] = {
        "jwt_issuer": ISSUER,
        "jwt_audience": "a",
        "jwt_jwks_url": "https://x",
        missing: "",
    }
    with pytest.raises(ValidationError, match="CAMPAIGNS_JWT"):
        Settings(kafka="", postgres="", nats="", message_keys=(SecretStr("00" * 32),), **values)


def _with_keys_at(url: str) -> Settings:
    return Settings(
        kafka="",
        postgres="",
        nats="",
        message_keys=(SecretStr("00" * 32),),
        jwt_issuer=ISSUER,
        jwt_audience="a",
        jwt_jwks_url=url,
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://issuer.example/keys",
        "http://127.0.0.1.issuer.example/keys",
        "http://localhost.issuer.example/keys",
        "http://localhost@issuer.example/keys",
        "http://10.0.0.1/keys",
        "http://[fe80::1]/keys",
        "http://0.0.0.0/keys",
        "http://",
    ],
)
def test_keys_are_not_fetched_over_plain_http_from_another_machine(url: str) -> None:
    with pytest.raises(ValidationError, match="CAMPAIGNS_JWT_JWKS_URL must begin with https://"):
        _with_keys_at(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://issuer.example/keys",
        "http://localhost:8081/keys",
        "http://127.0.0.1:8081/keys",
        "http://127.9.9.9/keys",
        "http://[::1]:8081/keys",
    ],
)
def test_keys_are_fetched_over_tls_and_from_this_machine(url: str) -> None:
    assert _with_keys_at(url).jwt_jwks_url == url
