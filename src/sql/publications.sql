-- Whether there are publications; whether one sends all that is written in this database, or another plugin than that of
-- publications does, which reads whatever it gets; and whether this server has publications of schemas.
SELECT EXISTS (SELECT FROM pg_publication),
       EXISTS (SELECT FROM pg_publication WHERE puballtables)
           OR EXISTS (
               SELECT
               FROM pg_replication_slots
               WHERE slot_type = 'logical'
                 AND database = current_database()
                 AND plugin <> 'pgoutput'
           ),
       to_regclass('pg_catalog.pg_publication_namespace') IS NOT NULL;
