"""The routes of the directory in one place: templates, segments, contacts, suppressions, the tenant
and its API keys.
"""

from __future__ import annotations

from fastapi import APIRouter

from api.directory import (
    contact_imports,
    contacts,
    segment_members,
    segments,
    suppressions,
    templates,
)
from api.tenant import api_keys, limits

router = APIRouter()
# imports before contacts: `/contacts/import` is no id
for part in (
    templates,
    segments,
    segment_members,
    contact_imports,
    contacts,
    suppressions,
    limits,
    api_keys,
):
    router.include_router(part.router)
