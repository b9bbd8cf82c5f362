"""Contacts, the people of a tenant: read from files, written in sets, listed, changed and erased.
An import and the API write through the same function, so a row means the same contact in both.
Imports `tables.channels`, `tables.files`, `tables.tenants`, `tables.models` and `tables.database`.
"""

from tables.contacts.changes import change_contact, erase_contact
from tables.contacts.imports import import_contacts
from tables.contacts.lists import list_contacts
from tables.contacts.store import get_contact, put_contact

__all__ = [
    "change_contact",
    "erase_contact",
    "get_contact",
    "import_contacts",
    "list_contacts",
    "put_contact",
]
