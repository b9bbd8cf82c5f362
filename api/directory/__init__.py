"""The routes of the material of campaigns: contacts, segments, templates and suppressions, with
import and export of contacts. `schemas` and `contact_schemas` hold their bodies and answers. The
room imports `api.http`, `api.limits` and no other room of `api`.
"""
