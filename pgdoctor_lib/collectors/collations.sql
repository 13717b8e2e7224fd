-- source: pg_collation, pg_database, pg_depend, pg_index (postgresql.org/docs/current/sql-altercollation.html#SQL-ALTERCOLLATION-NOTES)
-- scope: database
-- cadence: hourly
-- rows: many, 50 by number of indexes
-- needs: nothing
-- about: Collations that are in use and of which the system has another version than the one that is recorded: what was sorted by the old one, indexes above all, may be out of order. No rows where all is well, and none of what has no version: C and POSIX, libc up to PostgreSQL 12, the database's own up to 14.
--
-- | `collid`, `schemaname`, `collname` | the collation; the database's own is `default` of pg_catalog |
-- | `is_default` | whether it is the database's own |
-- | `collprovider` | `c` libc, `i` ICU, `b` builtin (17+) |
-- | `collversion`, `collversion_actual` | the version when it was made or last refreshed, and the system's now |
-- | `dependent_count` | columns, indexes, domains and views that name it; `null` of the default, which is not recorded |
-- | `index_count`, `indexes` | indexes that are sorted by it; the 20 largest, each with `schemaname`, `indexrelname`, `size_bytes` and `indisexclusion` |
--
-- To ask for the actual version opens the collation (ICU): only of those in use, and indexes are only looked through
-- where one differs, hence LATERAL … OFFSET 0. Operator classes named …_pattern_ops, those of pg_trgm, and hash of a deterministic
-- collation, do not depend on its order.
WITH used AS MATERIALIZED (
    SELECT c.oid, c.collnamespace, c.collname, c.collprovider::text AS provider, c.collisdeterministic, c.collversion, d.dependents
      FROM (SELECT refobjid, count(*) AS dependents
              FROM pg_depend
             WHERE refclassid = 'pg_collation'::regclass AND deptype = 'n'
             GROUP BY refobjid) d
      JOIN pg_collation c ON c.oid = d.refobjid
     WHERE c.collversion IS NOT NULL
), known AS MATERIALIZED (
    SELECT u.*, false AS is_default, pg_collation_actual_version(u.oid) AS actual
      FROM used u
    UNION ALL                                                                             -- [pg >= 15]
    SELECT c.oid, c.collnamespace, c.collname, d.datlocprovider::text, true, d.datcollversion, NULL, true,  -- [pg >= 15]
           pg_database_collation_actual_version(d.oid)                                    -- [pg >= 15]
      FROM pg_database d                                                                  -- [pg >= 15]
      JOIN pg_collation c ON c.collname = 'default' AND c.collnamespace = 'pg_catalog'::regnamespace  -- [pg >= 15]
     WHERE d.datname = current_database()                                                 -- [pg >= 15]
), unordered AS MATERIALIZED (
    SELECT array_agg(p.oid) FILTER (WHERE p.opcname ~ '_(pattern|trgm)_ops$') AS patterns,
           array_agg(p.oid) FILTER (WHERE a.amname = 'hash') AS hashes
      FROM pg_opclass p
      JOIN pg_am a ON a.oid = p.opcmethod
), other AS MATERIALIZED (
    SELECT known.*, patterns || CASE WHEN collisdeterministic THEN hashes END AS unordered
      FROM known, unordered
     WHERE collversion <> actual
), sorted AS MATERIALIZED (
    SELECT o.oid AS collation, n.nspname, x.relname, greatest(x.relpages, 0) AS pages, i.indisexclusion
      FROM other o
     CROSS JOIN LATERAL (
           SELECT i.indexrelid, i.indisexclusion
             FROM pg_index i
            WHERE i.indexrelid >= 16384
              AND (o.oid = ANY (i.indcollation::oid[])
                   AND EXISTS (SELECT
                                 FROM unnest(i.indcollation::oid[], i.indclass::oid[]) k (coll, class)
                                WHERE k.coll = o.oid AND k.class <> ALL (o.unordered))
                   OR coalesce(i.indexprs, i.indpred) IS NOT NULL
                      AND i.indexrelid IN (SELECT objid
                                             FROM pg_depend
                                            WHERE refclassid = 'pg_collation'::regclass
                                              AND refobjid = o.oid
                                              AND classid = 'pg_class'::regclass))
           OFFSET 0) i
      JOIN pg_class x ON x.oid = i.indexrelid AND x.relkind = 'i' AND x.relpersistence <> 't'
      JOIN pg_namespace n ON n.oid = x.relnamespace
)
SELECT o.oid::bigint AS collid,
       n.nspname AS schemaname,
       o.collname,
       o.is_default,
       o.provider AS collprovider,
       o.collversion,
       o.actual AS collversion_actual,
       o.dependents AS dependent_count,
       (SELECT count(*) FROM sorted s WHERE s.collation = o.oid) AS index_count,
       (SELECT coalesce(json_agg(l), '[]')
          FROM (SELECT s.nspname AS schemaname, s.relname AS indexrelname,
                       s.pages * current_setting('block_size')::bigint AS size_bytes, s.indisexclusion
                  FROM sorted s
                 WHERE s.collation = o.oid
                 ORDER BY s.pages DESC, s.nspname, s.relname
                 LIMIT 20) l) AS indexes
  FROM other o
  JOIN pg_namespace n ON n.oid = o.collnamespace
 ORDER BY index_count DESC, o.oid
 LIMIT 50
