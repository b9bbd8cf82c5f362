"""Every setting of every process, read from `CAMPAIGNS_*` environment variables: `settings` has the
fields, `kafka_access` and `nats_access` those with which a process is let in by its servers,
`secret_files` reads secrets that stand in files, and `checks` has the rules of single values.
Imports nothing else of ours.
"""

from streams.settings.checks import sentences
from streams.settings.settings import Settings, from_environment

__all__ = ["Settings", "from_environment", "sentences"]
