-- source: pg_attribute, pg_type (postgresql.org/docs/current/pgupgrade.html)
-- scope: database
-- cadence: hourly
-- rows: many, 50 by name
-- needs: nothing
-- about: Columns of types that pg_upgrade refuses, as they hold numbers that the new server does not keep: `regproc` and its like (`regclass`, `regrole` and `regtype` are kept), up to 15 `aclitem`; also as arrays, ranges, domains and attributes of composite types.
--
-- | `relid`, `schemaname`, `relname`, `relkind` | the table, or materialized view |
-- | `attname`, `data_type` | the column and its type |
-- | `is_composite` | whether it is a composite type, or made of one, that has such an attribute |
-- | `views` | views that use the column, 10 of them (`schemaname`, `relname`, `relkind`: `v` or `m`): while they are there its type stays |
-- | `is_extension_member` | whether an extension made the table |
--
-- What a partition has from its parent is left out.
WITH refused AS MATERIALIZED (
    SELECT oid
      FROM pg_type
     WHERE typnamespace = 'pg_catalog'::regnamespace
       AND typname IN (
               'aclitem',                                                                 -- [pg < 16]
               'regcollation', 'regconfig', 'regdictionary', 'regnamespace', 'regoper', 'regoperator', 'regproc',
               'regprocedure')
), held AS MATERIALIZED (
    WITH RECURSIVE made AS MATERIALIZED (
        SELECT oid, CASE WHEN typtype = 'd' THEN typbasetype ELSE typelem END AS of, false AS is_composite
          FROM pg_type
         WHERE typtype = 'd' OR typelem <> 0
         UNION ALL
        SELECT rngtypid, rngsubtype, false FROM pg_range
         UNION ALL
        SELECT reltype, atttypid, true
          FROM pg_class
          JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0 AND NOT attisdropped
         WHERE pg_class.oid >= 16384 AND relkind IN ('c', 'r', 'p') AND reltype <> 0
    ), walk (oid, is_composite) AS (
        SELECT oid, false FROM refused
        UNION
        SELECT made.oid, walk.is_composite OR made.is_composite FROM walk JOIN made ON of = walk.oid
    )
    SELECT oid, bool_or(is_composite) AS is_composite FROM walk GROUP BY oid
)
SELECT c.oid::bigint AS relid,
       n.nspname AS schemaname,
       c.relname,
       c.relkind,
       a.attname,
       format_type(a.atttypid, a.atttypmod) AS data_type,
       (SELECT is_composite FROM held WHERE oid = a.atttypid) AS is_composite,
       (SELECT json_agg(v)
          FROM (SELECT DISTINCT vn.nspname AS schemaname, v.relname, v.relkind
                  FROM pg_depend
                  JOIN pg_rewrite r ON r.oid = objid
                  JOIN pg_class v ON v.oid = ev_class
                  JOIN pg_namespace vn ON vn.oid = v.relnamespace
                 WHERE classid = 'pg_rewrite'::regclass AND refclassid = 'pg_class'::regclass
                   AND refobjid = c.oid AND refobjsubid = a.attnum AND v.oid <> c.oid
                 ORDER BY 1, 2
                 LIMIT 10) v) AS views,
       EXISTS (SELECT FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e') AS is_extension_member
  FROM pg_attribute a
  JOIN pg_class c ON c.oid = a.attrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE a.atttypid IN (SELECT oid FROM held)
   AND NOT a.attisdropped
   AND c.oid >= 16384
   AND c.relkind IN ('r', 'm', 'p')
   AND NOT c.relispartition
   AND c.relpersistence <> 't'
 ORDER BY n.nspname, c.relname, a.attnum
 LIMIT 50
