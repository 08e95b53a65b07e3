-- Who gets rights to schemas and tables as soon as the current role makes them (ALTER DEFAULT PRIVILEGES), as REVOKE
-- takes them.
SELECT DISTINCT CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(granted.grantee)) END
FROM pg_default_acl
CROSS JOIN aclexplode(defaclacl) AS granted
WHERE pg_get_userbyid(defaclrole) = current_user
  AND defaclnamespace = 0
  AND defaclobjtype IN ('r', 'n')
  AND granted.grantee <> defaclrole;
