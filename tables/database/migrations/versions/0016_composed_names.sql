-- Names are composed (Unicode NFC) from now on, and so are those that are there. Only rows with
-- another spelling are written; the others are read once: a second for a million contacts, in which
-- the tables that this upgrade changes are locked.

UPDATE contacts
   SET first_name = left(normalize(first_name, NFC), 255),
       last_name = left(normalize(last_name, NFC), 255)
 WHERE first_name IS NOT NFC NORMALIZED OR last_name IS NOT NFC NORMALIZED;

-- A name that another segment of the tenant has by now stays as it is: names are unique.
UPDATE segments s
   SET name = left(normalize(name, NFC), 255)
 WHERE name IS NOT NFC NORMALIZED
   AND NOT EXISTS (SELECT
                     FROM segments o
                    WHERE o.tenant_id = s.tenant_id
                      AND o.id <> s.id
                      AND (o.name = left(normalize(s.name, NFC), 255)
                           OR (o.id < s.id
                               AND left(normalize(o.name, NFC), 255)
                                   = left(normalize(s.name, NFC), 255))));

UPDATE templates SET name = left(normalize(name, NFC), 255) WHERE name IS NOT NFC NORMALIZED;

UPDATE campaigns SET name = left(normalize(name, NFC), 255) WHERE name IS NOT NFC NORMALIZED;
