-- Which address a message went to, one spelling of a number, links that prove themselves, an audit log.

-- What two spellings of one phone number (E.164) have in common: Mexico without the 1 of old mobile numbers, Brazil's
-- mobile numbers with the ninth digit, Argentina without the 9 of mobile numbers. tables/numbers.py is the same in Python.
CREATE FUNCTION number_key(number text) RETURNS text LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
SELECT CASE WHEN number LIKE '+521%' AND length(number) = 14 THEN '+52' || substr(number, 5)
            WHEN number LIKE '+549%' AND length(number) = 14 THEN '+54' || substr(number, 5)
            WHEN number LIKE '+55%' AND length(number) = 13 AND substr(number, 6, 1) IN ('6', '7', '8', '9')
            THEN left(number, 5) || '9' || substr(number, 6)
            ELSE number END $$;

-- Every number that has the key of this one.
CREATE FUNCTION number_spellings(number text) RETURNS text[] LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL SAFE AS $$
DECLARE key text := number_key(number);
BEGIN
  RETURN CASE WHEN key LIKE '+52%' AND length(key) = 13 THEN ARRAY[key, '+521' || substr(key, 4)]
              WHEN key LIKE '+54%' AND length(key) = 13 THEN ARRAY[key, '+549' || substr(key, 4)]
              WHEN key LIKE '+55%' AND length(key) = 14 AND substr(key, 6, 1) = '9' AND substr(key, 7, 1) IN ('6', '7', '8', '9')
              THEN ARRAY[key, left(key, 5) || substr(key, 7)]
              ELSE ARRAY[key] END;
END $$;

-- HMAC-SHA-256 (RFC 2104), the first 16 bytes. The key is a setting of every session that the engine opens
-- (tables/database/address_key.py), both padded blocks in hexadecimal: it is never stored here.
CREATE FUNCTION address_hash(address text) RETURNS bytea LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE AS $$
DECLARE blocks bytea := decode(current_setting('campaigns.address_key'), 'hex');
BEGIN
  RETURN substr(sha256(substr(blocks, 65) || sha256(substr(blocks, 1, 64) || convert_to(address, 'UTF8'))), 1, 16);
END $$;

-- How often each address of a contact has changed: the address that a message went to is that of its version.
ALTER TABLE contacts
  ADD COLUMN email_version integer NOT NULL DEFAULT 0,
  ADD COLUMN phone_version integer NOT NULL DEFAULT 0,
  ADD COLUMN push_token_version integer NOT NULL DEFAULT 0;

-- Null means 0.
ALTER TABLE campaign_recipients ADD COLUMN address_version integer;

-- Audiences that are being written to the ledger.
DO $$
DECLARE stage text;
BEGIN
  FOR stage IN SELECT relname FROM pg_class
                WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace AND relname ~ '^stage_[0-9]{1,15}$' LOOP
    EXECUTE format('ALTER TABLE %I ADD COLUMN IF NOT EXISTS address_version integer', stage);
  END LOOP;
END $$;

-- The addresses that contacts had, as keyed hashes. A hash is null when a session without the key changed the address.
CREATE TABLE former_addresses (
  contact_id uuid NOT NULL,
  field      varchar(10) NOT NULL,
  version    integer NOT NULL,
  tenant_id  varchar(64) NOT NULL,
  hash       bytea,
  until      timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (contact_id, field, version)
);

CREATE FUNCTION note_former_address(contact_id uuid, tenant_id text, field text, version integer, address text) RETURNS void LANGUAGE sql AS $$
INSERT INTO former_addresses (contact_id, field, version, tenant_id, hash)
VALUES (contact_id, field, version, tenant_id,
        CASE WHEN current_setting('campaigns.address_key', true) <> '' THEN address_hash(address) END)
    ON CONFLICT DO NOTHING $$;

CREATE FUNCTION keep_former_addresses() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF OLD.email IS NOT NULL AND (TG_OP = 'DELETE' OR OLD.email IS DISTINCT FROM NEW.email) THEN
    PERFORM note_former_address(OLD.id, OLD.tenant_id, 'email', OLD.email_version, OLD.email);
    IF TG_OP = 'UPDATE' THEN NEW.email_version := OLD.email_version + 1; END IF;
  END IF;
  IF OLD.phone IS NOT NULL AND (TG_OP = 'DELETE' OR number_key(OLD.phone) IS DISTINCT FROM number_key(NEW.phone)) THEN
    PERFORM note_former_address(OLD.id, OLD.tenant_id, 'phone', OLD.phone_version, number_key(OLD.phone));
    IF TG_OP = 'UPDATE' THEN NEW.phone_version := OLD.phone_version + 1; END IF;
  END IF;
  IF OLD.push_token IS NOT NULL AND (TG_OP = 'DELETE' OR OLD.push_token IS DISTINCT FROM NEW.push_token) THEN
    PERFORM note_former_address(OLD.id, OLD.tenant_id, 'push_token', OLD.push_token_version, OLD.push_token);
    IF TG_OP = 'UPDATE' THEN NEW.push_token_version := OLD.push_token_version + 1; END IF;
  END IF;
  IF TG_OP = 'DELETE' THEN RETURN OLD; END IF;
  RETURN NEW;
END $$;

CREATE TRIGGER former_addresses_of_changes BEFORE UPDATE OF email, phone, push_token ON contacts FOR EACH ROW
  WHEN (OLD.email IS DISTINCT FROM NEW.email OR OLD.phone IS DISTINCT FROM NEW.phone OR OLD.push_token IS DISTINCT FROM NEW.push_token)
  EXECUTE FUNCTION keep_former_addresses();

CREATE TRIGGER former_addresses_of_erasures BEFORE DELETE ON contacts FOR EACH ROW EXECUTE FUNCTION keep_former_addresses();

-- A suppression of an address that no contact has any more, as far as is known.
ALTER TABLE suppressions ADD COLUMN address_hash bytea;

ALTER TABLE suppressions
  DROP CONSTRAINT suppressions_check,
  ADD CONSTRAINT suppressions_check CHECK (num_nonnulls(contact_id, address, address_hash) = 1);

CREATE UNIQUE INDEX uq_suppressions_address_hash ON suppressions (tenant_id, channel, address_hash) WHERE address_hash IS NOT NULL;

-- Suppressed numbers have the spelling that is compared.
DELETE FROM suppressions s
 USING suppressions other
 WHERE s.channel IN ('sms', 'whatsapp') AND number_key(s.address) <> s.address
   AND other.tenant_id = s.tenant_id AND other.channel = s.channel AND other.address = number_key(s.address);

UPDATE suppressions SET address = number_key(address)
 WHERE channel IN ('sms', 'whatsapp') AND number_key(address) <> address;

-- Whether the unsubscribe page and the tracking of this campaign want their own tokens, or its message ids do as well.
ALTER TABLE campaigns ADD COLUMN has_link_tokens boolean NOT NULL DEFAULT false;

-- Who did what that a tenant, or a court, may ask about later. Rows are only ever added.
CREATE TABLE audit_log (
  id        uuid PRIMARY KEY DEFAULT uuidv7(),
  tenant_id varchar(64) NOT NULL,
  at        timestamptz NOT NULL DEFAULT now(),
  actor     varchar(100) NOT NULL,
  action    varchar(60) NOT NULL,
  subject   varchar(200) NOT NULL,
  reason    varchar(500) NOT NULL
);

CREATE INDEX idx_audit_log_tenant ON audit_log (tenant_id, id DESC);

CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  RAISE EXCEPTION 'rows of % are only added', TG_TABLE_NAME;
END $$;

CREATE TRIGGER audit_log_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_log
  FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
