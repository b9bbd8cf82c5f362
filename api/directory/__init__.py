"""The routes of what campaigns are made of: contacts, segments, templates and suppressions, with
import and export of contacts. `schemas` and `contact_schemas` hold what they take and answer. The
room imports `api.http` and no other room of `api`.
"""
