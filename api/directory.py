"""The routes of the directory in one place: templates, segments, contacts, suppressions, the tenant and its API keys."""

from __future__ import annotations

from fastapi import APIRouter

from api import api_keys, contact_imports, contacts, segment_members, segments, suppressions, templates, tenant

router = APIRouter()
# imports before contacts: `/contacts/import` is no id
for part in (templates, segments, segment_members, contact_imports, contacts, suppressions, tenant, api_keys):
    router.include_router(part.router)
