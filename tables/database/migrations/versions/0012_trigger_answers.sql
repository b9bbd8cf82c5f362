-- Triggers are remembered where every command is, under their campaign and correlationId.

ALTER TABLE answers
  ALTER COLUMN correlation_id TYPE varchar(165),
  DROP CONSTRAINT answers_scope_check,
  ADD CONSTRAINT answers_scope_check CHECK (scope IN ('command', 'rest', 'trigger'));

-- The digest of a trigger is that of a command whose content is the digest of its contacts.
INSERT INTO answers (tenant_id, scope, correlation_id, request_sha256, status, answer, expires_at)
SELECT c.tenant_id, 'trigger', t.campaign_id || ':' || t.correlation_id,
       sha256(convert_to('{"contacts": "' || encode(t.request_sha256, 'hex') || '"}', 'UTF8')), 202,
       jsonb_build_object('campaign_id', c.id, 'number', c.number, 'outcome', t.answer),
       t.triggered_at + interval '168 hours'
  FROM campaign_triggers t JOIN campaigns c ON c.id = t.campaign_id
 WHERE t.triggered_at > now() - interval '168 hours';

DROP TABLE campaign_triggers;
