-- What brings tables of earlier versions up to date on Redshift. Each paragraph stands under the differences that it
-- ends, in the words of the error that names them, and is run where all of these are found.
--
-- It runs in the transaction that holds the lock: nothing may stand here that Redshift refuses in one, as ALTER COLUMN TYPE.

-- staging_events lacks rescued SUPER
ALTER TABLE staging_events ADD COLUMN rescued SUPER;

-- staging_songs lacks rescued SUPER
ALTER TABLE staging_songs ADD COLUMN rescued SUPER;

-- load_runs lacks unknown_members VARCHAR(65535)
ALTER TABLE load_runs ADD COLUMN unknown_members VARCHAR(65535);
