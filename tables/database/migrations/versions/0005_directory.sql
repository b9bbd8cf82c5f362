-- What the endpoints of the directory need.

-- A template that a finished campaign was sent with stays readable for it, but for nobody else.
ALTER TABLE templates ADD COLUMN deleted_at timestamptz;

ALTER TABLE suppressions ADD COLUMN id uuid NOT NULL DEFAULT uuidv7() UNIQUE;

ALTER TABLE api_keys ADD COLUMN name varchar(100), ADD COLUMN previous_sha256 bytea, ADD COLUMN previous_expires_at timestamptz;

CREATE INDEX idx_api_keys_tenant ON api_keys (tenant_id, created_at DESC);

-- The pages of a tenant's contacts; in the primary key a small tenant's are among millions of others'. Of an expression, so that no other
-- query can use it: with (tenant_id, id) an import into a table without statistics read all of the tenant for every row, 130 s for 100,000.
CREATE INDEX idx_contacts_tenant ON contacts (lower(tenant_id), id);

-- text_pattern_ops: the same index finds an address and, in every collation, what begins like it.
-- pg_c_utf8: lower and upper case of every letter, also in a database with the locale C.
DROP INDEX uq_contacts_external_id;

CREATE UNIQUE INDEX uq_contacts_external_id ON contacts (tenant_id, external_id text_pattern_ops) WHERE external_id IS NOT NULL;

DROP INDEX idx_contacts_email;

CREATE INDEX idx_contacts_email ON contacts (tenant_id, email text_pattern_ops) WHERE email IS NOT NULL;

DROP INDEX idx_contacts_phone;

CREATE INDEX idx_contacts_phone ON contacts (tenant_id, phone text_pattern_ops) WHERE phone IS NOT NULL;

CREATE INDEX idx_contacts_first_name ON contacts (tenant_id, lower(first_name COLLATE pg_c_utf8) text_pattern_ops) WHERE first_name IS NOT NULL;

CREATE INDEX idx_contacts_last_name ON contacts (tenant_id, lower(last_name COLLATE pg_c_utf8) text_pattern_ops) WHERE last_name IS NOT NULL;

DROP INDEX uq_suppressions_address;

CREATE UNIQUE INDEX uq_suppressions_address ON suppressions (tenant_id, channel, address text_pattern_ops) WHERE address IS NOT NULL;

-- As idx_contacts_tenant, or a chunk of recipients could be looked up in all suppressions of the tenant.
CREATE INDEX idx_suppressions_list ON suppressions (lower(tenant_id), seq DESC)
