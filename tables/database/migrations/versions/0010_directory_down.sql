-- A campaign whose audience waits for a directory service.

ALTER TABLE campaigns ADD COLUMN is_directory_down boolean NOT NULL DEFAULT false;
