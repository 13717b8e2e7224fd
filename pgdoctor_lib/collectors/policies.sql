-- source: pg_policy, pg_class (postgresql.org/docs/current/ddl-rowsecurity.html)
-- scope: database
-- cadence: hourly
-- rows: many, 100, those first whose policies are not in force, then those without any, then by size
-- needs: nothing
-- about: Tables with row-level security, or with policies: 100, those first whose policies are not in force, then those that have none, then the largest.
--
-- | `relid`, `schemaname`, `relname` | the table |
-- | `relrowsecurity`, `relforcerowsecurity` | whether policies are in force, and for the owner, too |
-- | `policy_count` | its policies |
-- | `open_policies` | names of permissive ones that let every role (PUBLIC) write whichever row: their conditions are `true` |
-- | `overlapping` | where a role has several permissive policies for a command, each of which is evaluated for each row: role (`public`), command and number |
-- | `size_bytes` | of the table, without indexes and TOAST, as of the last VACUUM or ANALYZE |
-- | `is_extension_member` | whether an extension made the table |
--
-- A condition is read from its node tree, since pg_get_expr() opens the table.
WITH policy AS MATERIALIZED (
    SELECT polrelid,
           polname,
           polcmd,
           polroles,
           polpermissive,
           polqual IS NULL OR polqual::text ~ '^[{]CONST :consttype 16 .*:constvalue 1 [[] 1 ' AS reads_all,
           coalesce(polwithcheck, polqual)::text ~ '^[{]CONST :consttype 16 .*:constvalue 1 [[] 1 ' AS writes_all
      FROM pg_policy
), command AS MATERIALIZED (
    SELECT polrelid, role, cmd, count(*) AS n
      FROM policy
     CROSS JOIN unnest(polroles) role
     CROSS JOIN unnest(CASE polcmd WHEN '*' THEN CAST('{r,a,w,d}' AS "char"[]) ELSE ARRAY[polcmd] END) cmd
     WHERE polpermissive
     GROUP BY polrelid, role, cmd
    HAVING count(*) > 1
)
SELECT c.oid::bigint AS relid,
       n.nspname AS schemaname,
       c.relname,
       c.relrowsecurity,
       c.relforcerowsecurity,
       p.n AS policy_count,
       (SELECT coalesce(json_agg(polname ORDER BY polname), '[]')
          FROM policy
         WHERE polrelid = c.oid AND polpermissive AND polcmd <> 'r' AND 0 = ANY (polroles)
           AND reads_all AND writes_all) AS open_policies,
       (SELECT coalesce(json_agg(json_build_object(
                   'role', coalesce(r.rolname, 'public'),
                   'command', CASE cmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' ELSE 'DELETE' END,
                   'count', n) ORDER BY r.rolname NULLS FIRST, cmd), '[]')
          FROM command
          LEFT JOIN pg_roles r ON r.oid = role
         WHERE polrelid = c.oid) AS overlapping,
       greatest(c.relpages, 0) * current_setting('block_size')::bigint AS size_bytes,
       EXISTS (SELECT FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e') AS is_extension_member
  FROM pg_class c
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (SELECT count(*) FROM policy WHERE polrelid = c.oid) p (n)
 WHERE c.oid >= 16384
   AND c.relkind IN ('r', 'p')
   AND c.relpersistence <> 't'
   AND (c.relrowsecurity OR p.n > 0)
 ORDER BY c.relrowsecurity, p.n > 0, size_bytes DESC, relid
 LIMIT 100
