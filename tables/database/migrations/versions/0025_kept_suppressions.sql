-- A suppression that is entered keeps one of the same person that a word of theirs could lift. Each kind is looked up by its own
-- index: asked for together, a table without statistics was read from end to end for every row of a first import.
CREATE OR REPLACE FUNCTION keep_suppression() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF NEW.address IS NOT NULL THEN
    UPDATE suppressions
       SET way = NULL
     WHERE tenant_id = NEW.tenant_id AND channel = NEW.channel AND address = NEW.address AND way IS NOT NULL;
  ELSIF NEW.contact_id IS NOT NULL THEN
    UPDATE suppressions
       SET way = NULL
     WHERE tenant_id = NEW.tenant_id AND channel = NEW.channel AND contact_id = NEW.contact_id AND way IS NOT NULL;
  END IF;
  RETURN NEW;
END $$;
