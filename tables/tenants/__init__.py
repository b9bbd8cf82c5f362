"""Tenants, the API keys that name them, their limits, and the secrets of their webhooks. A tenant
is the first condition of every statement of the other rooms: the data of two tenants never meet.
Imports `tables.models` and `tables.database`.
"""

from tables.tenants.api_keys import Caller, create_key, verify
from tables.tenants.limits import change_limits
from tables.tenants.tenants import create_tenant, get_tenant

__all__ = ["Caller", "change_limits", "create_key", "create_tenant", "get_tenant", "verify"]
