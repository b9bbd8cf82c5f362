-- Tenants that are suspended or about to be deleted, and an audit log that says who did what, by which key and in which
-- request.

ALTER TABLE tenants
  ADD COLUMN suspended_at timestamptz,
  ADD COLUMN delete_after timestamptz;

ALTER TABLE campaigns ADD COLUMN is_paused_by_suspension boolean NOT NULL DEFAULT false;

ALTER TABLE audit_log
  ADD COLUMN key_id varchar(100),
  ADD COLUMN correlation_id varchar(128),
  ADD COLUMN details jsonb NOT NULL DEFAULT '{}';

-- A row is never changed, and for its first year nobody removes it: no role, with whatever rights, short of the one that owns
-- the table. After that the retention may (CAMPAIGNS_AUDIT_RETENTION).
CREATE FUNCTION refuse_young_delete() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.at > now() - interval '365 days' THEN
    RAISE EXCEPTION 'rows of % are only added, and kept for a year at least', TG_TABLE_NAME;
  END IF;
  RETURN OLD;
END $$;

DROP TRIGGER audit_log_is_append_only ON audit_log;

CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

CREATE TRIGGER audit_log_keeps_a_year BEFORE DELETE ON audit_log
  FOR EACH ROW EXECUTE FUNCTION refuse_young_delete();

-- What is left of a tenant whose contacts are gone.
CREATE INDEX idx_former_addresses_tenant ON former_addresses (tenant_id);
