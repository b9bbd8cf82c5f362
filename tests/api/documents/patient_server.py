"""The API with as much patience for bad keys as Schemathesis needs: it tries more of them a minute
than one address may. `python -m tests.api.documents.patient_server`
"""

from __future__ import annotations

import runpy
from dataclasses import replace

from api.http import dependencies
from api.limits.addresses import REFUSED_KEYS

if __name__ == "__main__":
    setattr(dependencies, "REFUSED_KEYS", replace(REFUSED_KEYS, most=1_000_000))  # noqa: B010
    runpy.run_module("api.server", run_name="__main__")
