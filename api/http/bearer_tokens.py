"""Bearer JWTs of a company's own identity provider (RFC 7519), taken beside API keys when
`CAMPAIGNS_JWT_ISSUER` is set.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

import jwt

from api.http.signing_keys import ALGORITHMS, SigningKeys
from streams.contracts.commands import TENANT_ID
from streams.errors import ForbiddenError, UnauthorizedError
from streams.settings import Settings
from tables.tenants.api_keys import ROLES, Caller

LEEWAY = 30  # seconds that the issuer's clock and ours may differ
_LONGEST = 8192  # characters; no issuer makes a token that long
_REQUIRED = ("exp", "iss", "aud", "sub")
_REASONS: Mapping[type[jwt.InvalidTokenError], str] = {
    jwt.ExpiredSignatureError: "it has expired",
    jwt.ImmatureSignatureError: "it is not valid yet",
    jwt.InvalidIssuedAtError: "it is not valid yet",
    jwt.InvalidAudienceError: "it is for another audience",
    jwt.InvalidIssuerError: "it is another issuer's",
    jwt.MissingRequiredClaimError: f"it needs the claims {', '.join(_REQUIRED)}",
}


def is_jwt(credential: str) -> bool:
    """Three parts with dots between them; no API key has a dot."""
    return credential.count(".") == 2


class Tokens:
    """Reads the caller from a token: claims -> tenant, user, role. The tenant may not exist."""

    def __init__(self, settings: Settings, keys: SigningKeys) -> None:
        self._settings, self._keys = settings, keys

    @classmethod
    def of(cls, settings: Settings) -> Tokens | None:
        """None when the settings name no issuer."""
        return cls(settings, SigningKeys(settings.jwt_jwks_url)) if settings.jwt_issuer else None

    async def close(self) -> None:
        await self._keys.close()

    async def verify(self, token: str) -> Caller:
        """Raises UnauthorizedError for a bad token, ForbiddenError for a good one that names no
        tenant or role, DependencyDownError.
        """
        claims = self._claims(token, await self._keys.key(_key_id(token)))
        return caller_of(claims, self._settings)

    def _claims(self, token: str, key: jwt.PyJWK) -> Mapping[str, Any]:
        try:
            return jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                audience=self._settings.jwt_audience,
                issuer=self._settings.jwt_issuer,
                leeway=LEEWAY,
                options={"require": list(_REQUIRED)},
            )
        except jwt.InvalidTokenError as error:
            raise _refused(
                _REASONS.get(type(error), "its signature or its form is wrong")
            ) from error
        except (ValueError, RecursionError) as error:
            raise _refused("its signature or its form is wrong") from error


def _key_id(token: str) -> str:
    try:
        header = jwt.get_unverified_header(token) if len(token) <= _LONGEST else {}
    except (jwt.InvalidTokenError, ValueError, RecursionError) as error:
        raise _refused("its header cannot be read") from error
    if header.get("alg") not in ALGORITHMS:
        raise _refused(f"it must be signed with one of {', '.join(ALGORITHMS)}")
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        raise _refused("it must name its key (kid)")
    return key_id


def _refused(why: str) -> UnauthorizedError:
    return UnauthorizedError(f"The token is not accepted: {why}.")


def caller_of(claims: Mapping[str, Any], settings: Settings) -> Caller:
    """The user is `sub` when that is a UUID, else derived from issuer and `sub`, always the same.
    Raises ForbiddenError.
    """
    tenant, named = claims.get(settings.jwt_tenant_claim), claims.get(settings.jwt_role_claim)
    if not isinstance(tenant, str) or not TENANT_ID.fullmatch(tenant):
        raise ForbiddenError(
            f"The token names no tenant: its claim {settings.jwt_tenant_claim} must be a tenant's "
            "name."
        )
    roles = [role for role in ROLES if role in (named if isinstance(named, list) else [named])]
    if not roles:
        raise ForbiddenError(
            f"The token names no role: its claim {settings.jwt_role_claim} must be one of "
            f"{', '.join(ROLES)}."
        )
    user = _user(str(claims["sub"]), settings.jwt_issuer)
    return Caller(tenant, user, roles[-1], f"jwt-{user}")


def _user(subject: str, issuer: str) -> UUID:
    try:
        return UUID(subject)
    except ValueError:
        return uuid5(uuid5(NAMESPACE_URL, issuer), subject)
