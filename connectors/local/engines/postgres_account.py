"""The only account of a local PostgreSQL that clients can use: a role that owns its database, which
has the same name, and is no superuser.

The server must not run meanwhile: PostgreSQL is started as a program that reads statements
(single-user mode), so that no superuser ever needs a password or a port.
https://www.postgresql.org/docs/18/app-postgres.html#APP-POSTGRES-SINGLE-USER
"""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path

from connectors.local.engines import private_files
from connectors.local.engines.engine import Account, EngineError

_RULES = """\
# Written by `campaigns up`. Nobody else is let in, and no superuser.
# The password has the fingerprint {fingerprint}.
host "{user}" "{user}" 127.0.0.1/32 scram-sha-256
"""
_ROLE = """\
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{user}') THEN CREATE ROLE "{user}"; END IF;
END $$;

ALTER ROLE "{user}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS
  PASSWORD '{password}';

SELECT datname FROM pg_database WHERE datname = '{user}';

"""
_CREATE = 'CREATE DATABASE "{user}" OWNER "{user}";\n\n'
_HAND_OVER = 'ALTER DATABASE "{user}" OWNER TO "{user}";\n\n'
# What a superuser has made in this database before: REASSIGN OWNED refuses the role that made the
# cluster. Each in a transaction of its own: thousands of partitions are more than the lock table.
_HAND_OVER_CONTENTS = """\
DO $$ DECLARE command text; BEGIN FOR command IN
  WITH ours AS (SELECT oid FROM pg_namespace
                 WHERE nspname !~ '^pg_' AND nspname <> 'information_schema')
  SELECT format('SCHEMA %I', nspname) FROM pg_namespace
   WHERE oid IN (SELECT oid FROM ours) AND nspowner = 10
  UNION ALL
  SELECT format('TABLE %s', c.oid::regclass) FROM pg_class c
   WHERE relnamespace IN (SELECT oid FROM ours) AND relowner = 10
     AND (relkind IN ('r', 'p', 'v', 'm', 'f')
          OR relkind = 'S' AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid
               AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')))
  UNION ALL
  SELECT format('ROUTINE %s', oid::regprocedure) FROM pg_proc
   WHERE pronamespace IN (SELECT oid FROM ours) AND proowner = 10
  UNION ALL
  SELECT format('TYPE %s', t.oid::regtype) FROM pg_type t
   WHERE typnamespace IN (SELECT oid FROM ours) AND typowner = 10 AND typcategory <> 'A'
     AND typtype <> 'm'
     AND (typtype <> 'c' OR EXISTS
           (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND relkind = 'c'))
LOOP
  EXECUTE format('ALTER %s OWNER TO "{user}"', command);
  COMMIT;
END LOOP; END $$;

"""


def admit(cluster: Path, programs: Sequence[str], account: Account) -> None:
    """Lets the account in, and nobody else; does nothing when that is so already.

    `programs` are the words of the command `postgres`. A cluster that let everybody in is changed
    in place: role, database and all in it, and then the rules, so that an interrupted change is
    made again. Raises `EngineError`.
    """
    rules = cluster / "pg_hba.conf"
    wanted = _RULES.format(user=account.user, fingerprint=_fingerprint(account.password))
    if rules.read_text() == wanted:
        return
    names = {"user": account.user, "password": account.password}
    found = _run(cluster, programs, "postgres", _ROLE.format(**names))
    if f'datname = "{account.user}"' in found:
        _run(cluster, programs, "postgres", _HAND_OVER.format(**names))
        _run(cluster, programs, account.user, _HAND_OVER_CONTENTS.replace("{user}", account.user))
    else:
        _run(cluster, programs, "postgres", _CREATE.format(**names))
    private_files.write(rules, wanted)


def _fingerprint(password: str) -> str:
    """A digest that tells passwords apart and does not let random ones be found."""
    return blake2b(password.encode(), digest_size=16).hexdigest()


def _run(cluster: Path, programs: Sequence[str], database: str, statements: str) -> str:
    """Returns what the statements print. Each ends with a semicolon and an empty line; the first
    that fails ends the program, and no statement is quoted, for one has the password.
    """
    options = ["-c", "exit_on_error=on", "-c", "log_min_error_statement=panic"]
    ran = subprocess.run(
        [*programs, "--single", "-j", "-D", str(cluster), *options, database],
        input=statements,
        capture_output=True,
        text=True,
        check=False,
        umask=private_files.UMASK,
    )
    if ran.returncode != 0:
        raise EngineError(
            f"PostgreSQL's folder {cluster} cannot be made private: {ran.stderr.strip()[-500:]}"
        )
    return ran.stdout
