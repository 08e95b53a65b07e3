-- What a load keeps beside its tables until it is published.

CREATE TABLE unfinished (
    program TEXT NOT NULL, -- the version that has made the tables, and their digest
    settings TEXT NOT NULL -- only a load with the same ones can go on with them
);

-- The steps of the load that are done: each is entered by the transaction that does it.
CREATE TABLE steps (step BIGINT PRIMARY KEY);
