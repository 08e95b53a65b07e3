-- Amazon Redshift has no advisory locks: a load locks this table, which holds nothing, until it is published.
CREATE TABLE IF NOT EXISTS load_lock (nothing INT) DISTSTYLE ALL;
