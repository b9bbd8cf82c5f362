"""Segments, templates and suppressions of a tenant, its own and those mirrored from other services.
A record that a campaign still needs cannot be deleted, and a mirrored one changes only where it is
owned. Imports `tables.contacts`, `tables.files`, `tables.tenants`,
`tables.models` and `tables.database`.
"""

from tables.directory.reported import suppress_recipients
from tables.directory.segments import list_segments, segment_named
from tables.directory.suppressions import put_suppression
from tables.directory.templates import create_template, list_templates

__all__ = [
    "create_template",
    "list_segments",
    "list_templates",
    "put_suppression",
    "segment_named",
    "suppress_recipients",
]
