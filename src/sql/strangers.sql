-- What keeps the schemas $1 from being taken for this program's own: a row for each thing in them, or hung upon
-- something in them, or that something in them needs, which the program does not make. It makes plain tables of the
-- server's own types, their indexes and their primary keys; all of that belongs to the role that asks, and nobody
-- else has a right to it. So nothing that is missing here runs anything when it is read, written, moved or dropped.
--
-- A trigger comes with its definition: one that the server puts on every new table is on new private tables too.
WITH RECURSIVE parts AS (
    SELECT oid AS schema, 'pg_namespace'::REGCLASS::OID AS class, oid AS object
    FROM pg_namespace
    WHERE nspname = ANY ($1::TEXT[])
    UNION
    SELECT parts.schema, depend.classid, depend.objid
    FROM parts
    JOIN pg_depend AS depend ON depend.refclassid = parts.class AND depend.refobjid = parts.object
),
strangers AS (
    SELECT parts.*
    FROM parts
    LEFT JOIN pg_namespace AS space ON class = 'pg_namespace'::REGCLASS AND space.oid = object
    LEFT JOIN pg_class AS relation ON class = 'pg_class'::REGCLASS AND relation.oid = object
    LEFT JOIN pg_type AS type ON class = 'pg_type'::REGCLASS AND type.oid = object
    LEFT JOIN pg_constraint AS key ON class = 'pg_constraint'::REGCLASS AND key.oid = object
    WHERE NOT coalesce(CASE class
              WHEN 'pg_namespace'::REGCLASS THEN pg_get_userbyid(nspowner) = current_user
              WHEN 'pg_class'::REGCLASS THEN pg_get_userbyid(relowner) = current_user
                  -- Tables, indexes, and where long values are kept.
                  AND (relkind = 'r' AND relnamespace = schema AND NOT relispartition
                       OR relkind = 'i' AND (relnamespace = schema OR relnamespace = 'pg_toast'::REGNAMESPACE)
                       OR relkind = 't')
                  AND NOT relrowsecurity
                  AND NOT relforcerowsecurity
                  AND NOT EXISTS (SELECT FROM pg_inherits WHERE inhparent = relation.oid)
              -- The types of the tables' rows, and of arrays of them.
              WHEN 'pg_type'::REGCLASS THEN pg_get_userbyid(typowner) = current_user
                  AND (typtype = 'c' OR typtype = 'b' AND typelem <> 0)
              -- Primary keys, and NOT NULL where that is a constraint of its own.
              WHEN 'pg_constraint'::REGCLASS THEN contype IN ('p', 'n')
          END, false)
       OR EXISTS (
              SELECT
              FROM (
                  SELECT nspacl AS acl, nspowner AS owner
                  UNION ALL
                  SELECT relacl, relowner
                  UNION ALL
                  SELECT attacl, relowner FROM pg_attribute WHERE attrelid = relation.oid
              ) AS rights
              CROSS JOIN aclexplode(acl) AS granted
              WHERE granted.grantee <> owner
          )
       OR EXISTS (
              -- What is the server's own is not noted there.
              SELECT
              FROM pg_depend AS needed
              WHERE needed.classid = class
                AND needed.objid = object
                AND NOT EXISTS (
                        SELECT
                        FROM parts AS part
                        WHERE part.schema = parts.schema
                          AND part.class = needed.refclassid
                          AND part.object = needed.refobjid
                    )
          )
)
SELECT nspname::TEXT,
       pg_describe_object(class, object, 0),
       replace(pg_get_triggerdef(trigger.oid), quote_ident(nspname) || '.', '') || ' ' || tgenabled::TEXT
FROM strangers
JOIN pg_namespace AS space ON space.oid = schema
LEFT JOIN pg_trigger AS trigger ON class = 'pg_trigger'::REGCLASS AND trigger.oid = object
ORDER BY nspname, class, object;
