-- What a template costs and what is probably not meant in it, found when it is written; they count
-- while hinted_at = updated_at.

ALTER TABLE templates
  ADD COLUMN hints jsonb,
  ADD COLUMN hinted_at timestamptz;
