-- What the mailbox that a route's bounces are read from lets the tenant in with, encrypted.

ALTER TABLE routes ADD COLUMN sealed_mailbox bytea;
