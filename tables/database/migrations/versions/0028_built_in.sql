-- Whether a campaign's messages leave by its tenant's routes, fixed when it starts.

ALTER TABLE campaigns ADD COLUMN is_built_in boolean NOT NULL DEFAULT false;
