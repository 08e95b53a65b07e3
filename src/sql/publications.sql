-- Whether there are publications, whether one covers all tables, and whether this server has ones that cover schemas.
SELECT count(*) > 0,
       coalesce(bool_or(puballtables), false),
       to_regclass('pg_catalog.pg_publication_namespace') IS NOT NULL
FROM pg_publication;
