"""The examples of the directory's routes in the API's documentation."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from api.documents import examples

_AT = "2026-01-28T08:55:12.204Z"
_CONTACT_ID = "550e8400-e29b-41d4-a716-446655440010"
_KEY_ID = "9f31c05be7a4d2c8"
_TEMPLATE = {
    "name": "January",
    "channel": "email",
    "content": {
        "subject": "January at Acme",
        "html": "<p>Hello {{ firstName | default('there') }}, this is our news.</p>",
    },
}
_CONTACT = {
    "externalId": "1001",
    "email": "ana@example.com",
    "firstName": "Ana",
    "timeZone": "Europe/Berlin",
    "attributes": {"plan": "pro"},
}
_HINTS = {"bytes": 32, "limit": 102000, "isExact": False}
_STORED_TEMPLATE = {
    "id": str(examples.TEMPLATE),
    **_TEMPLATE,
    "createdAt": _AT,
    "updatedAt": _AT,
    "hints": _HINTS,
}
_SEGMENT = {
    "id": str(examples.SEGMENT),
    "name": "Active subscribers",
    "createdAt": _AT,
    "memberCount": 10000,
}
_STORED_CONTACT = {
    "id": _CONTACT_ID,
    "createdAt": _AT,
    "updatedAt": _AT,
    **_CONTACT,
    "phone": None,
    "pushToken": None,
    "lastName": None,
    "locale": None,
}
_SUPPRESSION = {
    "id": "550e8400-e29b-41d4-a716-446655440030",
    "channel": "email",
    "reason": "asked by phone",
    "createdAt": _AT,
    "contactId": None,
    "address": "bob@example.com",
}
_SUPPRESS = {"channel": "email", "address": "bob@example.com", "reason": "asked by phone"}
_IMPORTED = {"imported": 9998, "updated": 1, "rejected": 1, "segmentId": str(examples.SEGMENT)}
_REJECTED = {"line": 17, "reason": "email: not a valid address"}
_HOUR = {"used": 9800, "inFlight": 120, "limit": 20000, "left": 10080, "until": None}
_DAY = {"used": 41000, "inFlight": 120, "limit": None, "left": None, "until": None}
_TENANT = {
    "tenantId": "acme",
    "messagesPerHour": 20000,
    "messagesPerDay": None,
    "createdAt": _AT,
    "usage": {"hour": _HOUR, "day": _DAY},
}
_KEY = {
    "id": _KEY_ID,
    "role": "editor",
    "userId": "550e8400-e29b-41d4-a716-446655440004",
    "createdAt": _AT,
    "name": "nightly import",
    "expiresAt": "2036-01-28T09:00:00.000Z",
    "revokedAt": None,
    "previousExpiresAt": None,
    "isCurrent": False,
}
_SECRET = {**_KEY, "apiKey": f"ce_live_{_KEY_ID}_" + "0" * 64}
_PAGE = {"page": 1, "pageSize": 20, "total": 1, "totalPages": 1}
_CURSOR = {"limit": 100, "nextCursor": None}


def _one(data: Mapping[str, Any]) -> dict[str, Any]:
    return {"success": True, "data": dict(data)}


def _list(data: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    return {"success": True, "data": [dict(data)], "meta": dict(meta)}


# As openapi.EXAMPLES.
OPERATIONS: Mapping[str, tuple[Any, Any]] = MappingProxyType(
    {
        "templates.create": (_TEMPLATE, _one(_STORED_TEMPLATE)),
        "templates.page": (None, _list(_STORED_TEMPLATE, _PAGE)),
        "templates.one": (None, _one(_STORED_TEMPLATE)),
        "templates.update": (
            {"name": "January, corrected"},
            _one({**_STORED_TEMPLATE, "name": "January, corrected"}),
        ),
        "templates.delete": (None, None),
        "segments.create": ({"name": "Active subscribers"}, _one({**_SEGMENT, "memberCount": 0})),
        "segments.page": (None, _list(_SEGMENT, _PAGE)),
        "segments.one": (None, _one(_SEGMENT)),
        "segments.update": ({"name": "Readers"}, _one({**_SEGMENT, "name": "Readers"})),
        "segments.delete": (None, None),
        "segments.members": (None, _list(_STORED_CONTACT, _CURSOR)),
        "segments.add": ({"contactIds": [_CONTACT_ID]}, _one({"added": 1})),
        "segments.remove": ({"contactIds": [_CONTACT_ID]}, _one({"removed": 1})),
        "segments.remove_one": (None, None),
        "contacts.put": (_CONTACT, _one(_STORED_CONTACT)),
        "contacts.page": (None, _list(_STORED_CONTACT, _CURSOR)),
        "contacts.one": (None, _one(_STORED_CONTACT)),
        "contacts.update": (
            {"firstName": "Anna", "attributes": {"plan": None}},
            _one({**_STORED_CONTACT, "firstName": "Anna"}),
        ),
        "contacts.erase": (None, None),
        "contacts.import_file": (None, _one({**_IMPORTED, "rejects": [_REJECTED]})),
        "contacts.import_rows": (
            [_CONTACT],
            _one({"imported": 1, "updated": 0, "rejected": 0, "segmentId": None, "rejects": []}),
        ),
        "suppressions.put": (_SUPPRESS, _one(_SUPPRESSION)),
        "suppressions.put_all": (
            [_SUPPRESS],
            _one({"added": 1, "existing": 0, "rejected": 0, "rejects": []}),
        ),
        "suppressions.page": (None, _list(_SUPPRESSION, _PAGE)),
        "suppressions.one": (None, _one(_SUPPRESSION)),
        "suppressions.remove": (None, None),
        "tenant.current": (None, _one(_TENANT)),
        "tenant.update": ({"messagesPerHour": 20000}, _one(_TENANT)),
        "api-keys.create": (
            {"role": "editor", "name": "nightly import", "expiresAt": "2036-01-28T09:00:00Z"},
            _one(_SECRET),
        ),
        "api-keys.page": (None, _list(_KEY, _PAGE)),
        "api-keys.rotate": (
            {"gracePeriod": "PT1H"},
            _one({**_SECRET, "previousExpiresAt": "2026-01-28T09:55:12.204Z"}),
        ),
        "api-keys.revoke": (None, None),
    }
)
