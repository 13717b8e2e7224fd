-- source: pg_class, pg_stats (postgresql.org/docs/current/storage-page-layout.html)
-- scope: database
-- cadence: hourly
-- rows: one
-- needs: nothing; but widths are in pg_stats, which shows what the role may read (pg_read_all_data, 14+, or SELECT on the table)
--
-- | `count` | tables and B-tree indexes of 10 MB and more, of each kind the 1,000 largest |
-- | `skipped_count` | those that are left out, since there are more |
-- | `table_count`, `index_count`, `size_bytes` | how many of each there are, and their size together |
-- | `unestimated_table_count`, `unestimated_index_count`, `unestimated_bytes` | those that cannot be estimated: `wasted_bytes_estimate` is `null` |
-- | `unestimated_no_privilege_count` | of these, such whose columns' widths the role may not see: `GRANT pg_read_all_data` (14+), or SELECT on the tables |
-- | `unestimated_not_analyzed_count` | of these, such of which nobody knows: ANALYZE them |
-- | `other_index_count`, `other_index_bytes` | indexes of 10 MB and more that are no B-trees: these are not estimated at all |
--
-- The first CTEs are those of bloat.sql.
WITH candidate AS MATERIALIZED (
    (SELECT c.oid, c.oid AS relid, 'table' AS kind, n.nspname, c.relname, c.relname AS stats_of, c.reloptions,
           c.relpages, nullif(c.reltuples, -1)::float8 AS tuples, NULL::int2[] AS key, false AS merges
      FROM pg_class c
      JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'm')
       AND c.relpersistence <> 't'
       AND c.oid >= 16384
       AND c.relpages >= 10485760 / current_setting('block_size')::bigint
     ORDER BY c.relpages DESC, c.oid
     LIMIT 1000)
    UNION ALL
    (SELECT x.oid, t.oid, 'index', n.nspname, t.relname, x.relname, x.reloptions,
           x.relpages, nullif(x.reltuples, -1)::float8, i.indkey::int2[],
           NOT i.indisunique AND i.indnatts = i.indnkeyatts                                   -- [pg >= 13]
           AND NOT EXISTS (SELECT FROM unnest(i.indclass::oid[]) k (class)                    -- [pg >= 13]
                             JOIN pg_opclass o ON o.oid = k.class                             -- [pg >= 13]
                             LEFT JOIN pg_amproc p ON p.amprocfamily = o.opcfamily AND p.amprocnum = 4  -- [pg >= 13]
                                                  AND p.amproclefttype = o.opcintype AND p.amprocrighttype = o.opcintype  -- [pg >= 13]
                            WHERE p.amproc IS NULL)                                           -- [pg >= 13]
-- [pg < 13]           false
      FROM pg_index i
      JOIN pg_class x ON x.oid = i.indexrelid
      JOIN pg_class t ON t.oid = i.indrelid AND t.relkind IN ('r', 'm')
      JOIN pg_namespace n ON n.oid = x.relnamespace
     WHERE x.relkind = 'i'
       AND x.relam = 403
       AND x.relpersistence <> 't'
       AND x.oid >= 16384
       AND i.indisvalid
       AND x.relpages >= 10485760 / current_setting('block_size')::bigint
     ORDER BY x.relpages DESC, x.oid
     LIMIT 1000)
), attribute AS MATERIALIZED (
    SELECT c.oid, a.attnum, a.attlen < 0 AS varies, a.attisdropped,
           CASE WHEN a.attisdropped THEN 0 WHEN s.attname IS NOT NULL THEN s.avg_width WHEN a.attlen > 0 THEN a.attlen END AS width,
           CASE WHEN a.attisdropped THEN 0 ELSE 1 - coalesce(s.null_frac, 0) END AS present,
           s.n_distinct,
           CASE WHEN a.attlen = -1 AND a.attstorage <> 'p' AND coalesce(s.avg_width, 0) < 127 THEN 1
                ELSE CASE a.attalign WHEN 'c' THEN 1 WHEN 's' THEN 2 WHEN 'i' THEN 4 ELSE 8 END
           END AS align,
           s.attname IS NOT NULL AS known,
           has_column_privilege(v.attrelid, v.attnum, 'SELECT') AND NOT row_security_active(v.attrelid) AS visible
      FROM candidate c
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
     CROSS JOIN LATERAL (
           SELECT c.key[a.attnum - 1] > 0 AS is_column,
                  CASE WHEN c.key[a.attnum - 1] > 0 THEN c.relname ELSE c.stats_of END AS relname) k
      JOIN pg_attribute v ON v.attrelid = CASE WHEN k.is_column THEN c.relid ELSE c.oid END
                         AND v.attnum = CASE WHEN k.is_column THEN c.key[a.attnum - 1] ELSE a.attnum END
      LEFT JOIN LATERAL (
           SELECT p.attname, p.avg_width, p.null_frac, p.n_distinct
             FROM pg_stats p
            WHERE p.schemaname = c.nspname
              AND p.tablename = k.relname
              AND p.attname = v.attname
              AND NOT p.inherited
           OFFSET 0) s ON true
), item AS MATERIALIZED (
    SELECT c.oid,
           count(*) AS columns,
           bool_and(a.known OR a.attisdropped) AS known,
           bool_or(a.width IS NULL) AS is_unknown,
           bool_or(a.width IS NULL AND NOT coalesce(a.visible, false)) AS is_hidden,
           1 - min(a.present) AS nulls,
           array_agg(a.width::float8 ORDER BY a.attnum) AS widths,
           array_agg(a.present::float8 ORDER BY a.attnum) AS present,
           array_agg(a.align ORDER BY a.attnum) AS aligns,
           array_agg(a.varies ORDER BY a.attnum) AS varies,
           array_agg(a.n_distinct::float8 ORDER BY a.attnum) AS n_distinct
      FROM candidate c
      JOIN attribute a ON a.oid = c.oid
     GROUP BY c.oid
), judged AS MATERIALIZED (
    SELECT c.kind, c.relpages,
           CASE WHEN c.tuples IS NULL THEN 'not analyzed'
                WHEN i.is_hidden THEN 'no privilege'
                WHEN i.is_unknown THEN 'not analyzed'
           END AS because
      FROM candidate c
      JOIN item i ON i.oid = c.oid
), other AS MATERIALIZED (
    SELECT count(*) AS count, coalesce(sum(relpages), 0)::bigint AS pages
      FROM pg_class
     WHERE relkind = 'i'
       AND relam <> 403
       AND relpersistence <> 't'
       AND oid >= 16384
       AND relpages >= 10485760 / current_setting('block_size')::bigint
)
SELECT count(*) AS count,
       (SELECT greatest(0, count(*) FILTER (WHERE relkind <> 'i') - 1000) + greatest(0, count(*) FILTER (WHERE relkind = 'i') - 1000)
          FROM pg_class
         WHERE relkind IN ('r', 'm', 'i')
           AND (relkind <> 'i' OR relam = 403)
           AND relpersistence <> 't'
           AND relnamespace <> 'pg_toast'::regnamespace
           AND oid >= 16384
           AND relpages >= 10485760 / current_setting('block_size')::bigint) AS skipped_count,
       count(*) FILTER (WHERE kind = 'table') AS table_count,
       count(*) FILTER (WHERE kind = 'index') AS index_count,
       coalesce(sum(relpages), 0)::bigint * current_setting('block_size')::bigint AS size_bytes,
       count(*) FILTER (WHERE kind = 'table' AND because IS NOT NULL) AS unestimated_table_count,
       count(*) FILTER (WHERE kind = 'index' AND because IS NOT NULL) AS unestimated_index_count,
       coalesce(sum(relpages) FILTER (WHERE because IS NOT NULL), 0)::bigint * current_setting('block_size')::bigint AS unestimated_bytes,
       count(*) FILTER (WHERE because = 'no privilege') AS unestimated_no_privilege_count,
       count(*) FILTER (WHERE because = 'not analyzed') AS unestimated_not_analyzed_count,
       (SELECT count FROM other) AS other_index_count,
       (SELECT pages FROM other) * current_setting('block_size')::bigint AS other_index_bytes
  FROM judged
