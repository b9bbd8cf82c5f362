-- What row-level security needs (tables/tenancy): without the statements of `campaigns roles postgres` none of it restricts
-- anybody.

-- The tenant for which the session acts: '' for none, '*' for all. A session that never says so, as those of workers and of an
-- older API, is not restricted.
CREATE FUNCTION acting_tenant() RETURNS text LANGUAGE sql STABLE PARALLEL SAFE AS
$$ SELECT coalesce(current_setting('campaigns.tenant', true), '*') $$;

-- The rows that the session can see, for conditions that no index serves behind a policy: lower(), LIKE, functions of a column.
-- They have the rights of their owner, whom no policy restricts.
CREATE VIEW contacts_in_sight AS
SELECT id, tenant_id, external_id, email, phone, push_token, first_name, last_name
  FROM contacts
 WHERE nullif((SELECT acting_tenant()) IN (tenant_id, '*'), false) IS NOT NULL;

CREATE VIEW suppressions_in_sight AS
SELECT seq, tenant_id, channel, contact_id, address, reason, created_at, id, address_hash, way, said_at
  FROM suppressions
 WHERE nullif((SELECT acting_tenant()) IN (tenant_id, '*'), false) IS NOT NULL;

-- Ids of contacts are global, and an import may name one.
CREATE FUNCTION is_of_another_tenant(contact uuid, tenant text) RETURNS boolean LANGUAGE sql STABLE AS
$$ SELECT EXISTS (SELECT FROM contacts c WHERE c.id = contact AND c.tenant_id <> tenant) $$;

-- An id that an erased contact had goes on counting, so that what was sent to that one is told apart. Nothing for no id.
CREATE FUNCTION next_address_versions(contact uuid, OUT email integer, OUT phone integer, OUT push_token integer)
RETURNS SETOF record LANGUAGE sql STABLE STRICT ROWS 1 AS $$
SELECT coalesce(max(version) FILTER (WHERE field = 'email') + 1, 0), coalesce(max(version) FILTER (WHERE field = 'phone') + 1, 0),
       coalesce(max(version) FILTER (WHERE field = 'push_token') + 1, 0)
  FROM former_addresses WHERE contact_id = contact $$;
