-- The privileges on the table $1, each with whom it is granted to, as GRANT takes them.
SELECT acl.privilege_type,
       CASE acl.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(acl.grantee)) END
           || CASE WHEN acl.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
FROM pg_class, aclexplode(relacl) AS acl
WHERE pg_class.oid = to_regclass($1)
  AND acl.grantee <> pg_class.relowner
