-- What a person should know of a campaign that is over: most of its recipients were skipped.

ALTER TABLE campaigns ADD COLUMN warning varchar(300);
