-- source: pg_class, pg_constraint, pg_proc, pg_type, pg_trigger (postgresql.org/docs/current/catalogs.html)
-- scope: database
-- cadence: hourly
-- rows: one
-- needs: nothing
--
-- | `count` | objects |
-- | `rows_are` | `objects`, or `schemas` where there are more than 2,000 objects |
-- | `by_kind` | how many there are of each kind |
--
-- Which objects there are is told as in schema.sql.
WITH extended AS MATERIALIZED (
    SELECT d.classid, d.objid
      FROM pg_extension e
      JOIN pg_depend d ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND d.deptype = 'e'
), namespace AS MATERIALIZED (
    SELECT n.oid
      FROM pg_namespace n
     WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
), relation AS MATERIALIZED (
    SELECT c.oid, c.relkind
      FROM pg_class c
      JOIN namespace n ON n.oid = c.relnamespace
     WHERE c.oid >= 16384
       AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'c', 'i', 'I', 'S')
       AND c.relpersistence <> 't'
       AND NOT EXISTS (SELECT FROM extended WHERE classid = 'pg_class'::regclass AND objid = c.oid)
), object AS (
    SELECT CASE r.relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'partitioned table' WHEN 'f' THEN 'foreign table' WHEN 'v' THEN 'view'
                          WHEN 'm' THEN 'materialized view' WHEN 'c' THEN 'composite type' WHEN 'S' THEN 'sequence' ELSE 'index' END AS kind
      FROM relation r
     WHERE NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = r.oid AND c.contype IN ('p', 'u', 'x'))
    UNION ALL
    SELECT 'constraint'
      FROM pg_constraint c
      JOIN relation r ON r.oid = c.conrelid
     WHERE c.oid >= 16384
       AND c.contype IN ('c', 'f', 'p', 'u', 'x')
       AND c.conparentid = 0
    UNION ALL
    SELECT CASE p.prokind WHEN 'p' THEN 'procedure' WHEN 'a' THEN 'aggregate' ELSE 'function' END
      FROM pg_proc p
      JOIN namespace n ON n.oid = p.pronamespace
     WHERE p.oid >= 16384
       AND NOT EXISTS (SELECT FROM extended WHERE classid = 'pg_proc'::regclass AND objid = p.oid)
       AND NOT EXISTS (SELECT FROM pg_depend d JOIN pg_type t ON t.oid = d.refobjid AND t.typtype IN ('r', 'm')
                        WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'i'
                          AND d.refclassid = 'pg_type'::regclass)
    UNION ALL
    SELECT CASE t.typtype WHEN 'e' THEN 'enum' WHEN 'd' THEN 'domain' WHEN 'r' THEN 'range' ELSE 'type' END
      FROM pg_type t
      JOIN namespace n ON n.oid = t.typnamespace
     WHERE t.oid >= 16384
       AND t.typrelid = 0
       AND t.typtype <> 'm'
       AND NOT (t.typelem <> 0 AND EXISTS (SELECT FROM pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid))
       AND NOT EXISTS (SELECT FROM extended WHERE classid = 'pg_type'::regclass AND objid = t.oid)
    UNION ALL
    SELECT 'trigger'
      FROM pg_trigger t
      JOIN relation r ON r.oid = t.tgrelid
     WHERE NOT t.tgisinternal
       AND t.tgparentid = 0                                                                   -- [pg >= 13]
    UNION ALL
    SELECT 'policy' FROM pg_policy p JOIN relation r ON r.oid = p.polrelid
    UNION ALL
    SELECT 'extension' FROM pg_extension
    UNION ALL
    SELECT 'schema'
      FROM namespace n
     WHERE NOT EXISTS (SELECT FROM extended WHERE classid = 'pg_namespace'::regclass AND objid = n.oid)
), counted AS (
    SELECT kind, count(*) AS count FROM object GROUP BY kind
)
SELECT sum(count)::bigint AS count,
       CASE WHEN sum(count) > 2000 THEN 'schemas' ELSE 'objects' END AS rows_are,
       json_object_agg(kind, count ORDER BY kind) AS by_kind
  FROM counted
