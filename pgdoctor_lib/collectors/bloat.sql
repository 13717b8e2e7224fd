-- source: pg_class, pg_stats, pg_stat_all_tables (postgresql.org/docs/current/storage-page-layout.html)
-- scope: database
-- cadence: hourly
-- rows: many, 30 tables and 30 indexes by wasted_bytes_estimate, 10 each by size of those that cannot be estimated
-- needs: nothing; but widths are in pg_stats, which shows what the role may read (pg_read_all_data, 14+, or SELECT on the table)
-- about: Tables and B-tree indexes of 10 MB and more, the 1,000 largest of each, and what of them is dead rows and free space: an estimate from what rows should take, about ±20 %, and more where the statistics are old. 30 tables and 30 indexes by the bytes wasted, and the 10 largest of each that cannot be estimated.
--
-- | `kind`, `relid`, `indexrelid`, `schemaname`, `relname`, `indexrelname` | `table` or `index`; the table, and the index (else `null`) |
-- | `size_bytes`, `reltuples` | as of the last VACUUM or ANALYZE; without TOAST |
-- | `fillfactor` | what is left free of each page on purpose is no waste |
-- | `live_rows_estimate` | rows that are alive: `reltuples`, or `n_live_tup` where that is less |
-- | `tuple_bytes_estimate` | what a row or index entry takes, with its header and padding |
-- | `needed_bytes_estimate`, `wasted_bytes_estimate`, `wasted_percent_estimate` | what these rows need when packed, and the rest of `size_bytes`; `null`: unknown, see `unestimated_because` |
-- | `basis` | `statistics`: widths are those in pg_stats; `types`: of some columns these are not to be seen, but their type has one width alone. That takes no value for NULL, and no index keys for equal, so that less is told as waste than there is |
-- | `unestimated_because` | `no privilege`: the role does not see how wide the columns are; `not analyzed`: nobody does |
-- | `dead_bytes_estimate` | of a table, what dead rows take now: their share by the counters, times the size |
--
-- A page is a header (24 bytes) and for each row an item pointer (4) and the row: header (23, and a bit a column where
-- there are NULLs), then its columns, each at a multiple of its alignment, all rounded up to 8. Where a column begins
-- is known after columns of fixed width; after one that varies, any place is as likely. `step` goes from column to column:
-- `residue` is where the row has got to, as far as it is known, modulo `modulus`.
-- A B-tree's page has 16 bytes at its end and a high key. Entries begin with 8 bytes (16 with NULLs); those of
-- one key are merged (13+; a key and 6 bytes a row, a tenth of a page at most) unless its type cannot.
-- OFFSET 0 makes of pg_stats a look-up for each column: as a join it might be read as a whole for each.
-- bloat.total.sql begins with the same CTEs, which are computed once for both.
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
), step AS MATERIALIZED (
    WITH RECURSIVE walk (oid, n, width, residue, modulus) AS (
        SELECT i.oid, 0, 0::float8, 0, 8 FROM item i WHERE NOT i.is_unknown
        UNION ALL
        SELECT s.oid,
               s.n + 1,
               s.width + c.present * (p.pad + c.width),
               CASE WHEN c.present < 0.5 THEN s.residue
                    WHEN c.varies THEN 0
                    WHEN c.align <= s.modulus THEN (s.residue + p.pad + c.width)::int % 8
                    ELSE c.width::int % 8
               END,
               CASE WHEN c.present < 0.5 THEN s.modulus
                    WHEN c.varies THEN 1
                    ELSE greatest(s.modulus, c.align)
               END
          FROM walk s
          JOIN item i ON i.oid = s.oid
         CROSS JOIN LATERAL (
               SELECT coalesce(i.widths[s.n + 1], 0) AS width, coalesce(i.present[s.n + 1], 1) AS present,
                      coalesce(i.aligns[s.n + 1], 8) AS align, coalesce(i.varies[s.n + 1], false) AS varies) c
         CROSS JOIN LATERAL (SELECT least(c.align, s.modulus) AS modulus) m
         CROSS JOIN LATERAL (
               SELECT (m.modulus - s.residue % m.modulus) % m.modulus + (c.align - m.modulus) / 2.0::float8 AS pad) p
         WHERE s.n <= i.columns
    )
    SELECT * FROM walk
), alive AS MATERIALIZED (
    SELECT c.oid,
           CASE WHEN coalesce(pg_stat_get_last_vacuum_time(c.relid), pg_stat_get_last_autovacuum_time(c.relid),
                              pg_stat_get_last_analyze_time(c.relid), pg_stat_get_last_autoanalyze_time(c.relid)) IS NOT NULL
                THEN c.tuples * least(1, pg_stat_get_live_tuples(c.relid) / nullif(t.reltuples, 0))
                ELSE c.tuples
           END AS live,
           t.reltuples AS of_table
      FROM candidate c
      JOIN pg_class t ON t.oid = c.relid
), told AS MATERIALIZED (
    SELECT f.oid,
           max(CASE WHEN f.option_name = 'fillfactor' THEN f.option_value END)::int AS fillfactor,
           max(CASE WHEN f.option_name = 'deduplicate_items' THEN f.option_value END)::boolean AS merges
      FROM (SELECT c.oid, o.option_name, o.option_value
              FROM candidate c, pg_options_to_table(c.reloptions) o
             WHERE c.reloptions IS NOT NULL) f
     GROUP BY f.oid
), sized AS MATERIALIZED (
    SELECT c.*,
           CASE WHEN c.tuples IS NULL THEN 'not analyzed'
                WHEN i.is_hidden THEN 'no privilege'
                WHEN i.is_unknown THEN 'not analyzed'
           END AS because,
           i.known,
           a.live,
           coalesce(o.fillfactor, CASE c.kind WHEN 'table' THEN 100 ELSE 90 END) AS fillfactor,
           current_setting('block_size')::float8 AS block,
           s.width + CASE WHEN c.kind = 'index' THEN 8 + 8 * i.nulls
                          ELSE 24 + i.nulls * (8 * ceil((23 + ceil(i.columns / 8.0)) / 8) - 24)
                     END AS tuple,
           CASE WHEN c.merges AND coalesce(o.merges, true) AND i.known
                THEN (SELECT CASE WHEN bool_and(d <> 0)
                                  THEN exp(sum(ln(greatest(1, CASE WHEN d < 0 THEN -d * a.of_table ELSE d END))))
                             END FROM unnest(i.n_distinct) d)
           END AS keys
      FROM candidate c
      JOIN item i ON i.oid = c.oid
      JOIN alive a ON a.oid = c.oid
      LEFT JOIN told o ON o.oid = c.oid
      LEFT JOIN step s ON s.oid = c.oid AND s.n = i.columns + 1
), entered AS MATERIALIZED (
    SELECT s.*,
           s.block - s.block * (100 - s.fillfactor) / 100 - CASE s.kind WHEN 'table' THEN 24 ELSE 40 + s.tuple + 4 END AS room,
           floor((s.block / 10 - 4 - s.tuple) / 6) AS mergeable,
           s.live / greatest(1, least(s.keys, s.live)) AS rows_of_key
      FROM sized s
), needed AS MATERIALIZED (
    SELECT e.*,
           CASE WHEN e.because IS NULL AND e.kind = 'table'
                THEN ceil(e.live / greatest(1, floor(e.room / (e.tuple + 4))))
                WHEN e.because IS NULL
                THEN 1 + ceil((1 + 1 / greatest(1, floor((e.block - 40) * 0.7 / (e.tuple + 4)) - 1))
                              * CASE WHEN e.rows_of_key >= 2 AND e.mergeable >= 2
                                     THEN e.live / e.rows_of_key
                                          * (ceil(e.rows_of_key / e.mergeable) * (e.tuple + 4) + 6 * e.rows_of_key)
                                     ELSE e.live * (e.tuple + 4)
                                END / greatest(e.room, e.tuple + 4))
           END AS pages
      FROM entered e
), compared AS MATERIALIZED (
    SELECT n.*, CASE WHEN n.pages IS NOT NULL THEN greatest(0, n.relpages - n.pages) END AS wasted FROM needed n
), shown AS MATERIALIZED (
    (SELECT * FROM compared WHERE kind = 'table' AND wasted IS NOT NULL ORDER BY wasted DESC, oid LIMIT 30)
     UNION ALL (SELECT * FROM compared WHERE kind = 'index' AND wasted IS NOT NULL ORDER BY wasted DESC, oid LIMIT 30)
     UNION ALL (SELECT * FROM compared WHERE kind = 'table' AND wasted IS NULL ORDER BY relpages DESC, oid LIMIT 10)
     UNION ALL (SELECT * FROM compared WHERE kind = 'index' AND wasted IS NULL ORDER BY relpages DESC, oid LIMIT 10)
)
SELECT s.kind,
       s.relid::bigint,
       CASE s.kind WHEN 'index' THEN s.oid::bigint END AS indexrelid,
       s.nspname AS schemaname,
       s.relname,
       CASE s.kind WHEN 'index' THEN s.stats_of END AS indexrelname,
       (s.relpages * s.block)::bigint AS size_bytes,
       s.tuples AS reltuples,
       s.fillfactor,
       round(s.live)::bigint AS live_rows_estimate,
       round(s.tuple::numeric, 1) AS tuple_bytes_estimate,
       ((s.relpages - s.wasted) * s.block)::bigint AS needed_bytes_estimate,
       (s.wasted * s.block)::bigint AS wasted_bytes_estimate,
       round((100 * s.wasted / s.relpages)::numeric, 1) AS wasted_percent_estimate,
       CASE WHEN s.because IS NULL THEN CASE WHEN s.known THEN 'statistics' ELSE 'types' END END AS basis,
       s.because AS unestimated_because,
       CASE s.kind WHEN 'table' THEN round(s.relpages * s.block * pg_stat_get_dead_tuples(s.oid)
                 / nullif(pg_stat_get_live_tuples(s.oid) + pg_stat_get_dead_tuples(s.oid), 0))::bigint
       END AS dead_bytes_estimate
  FROM shown s
 ORDER BY wasted_bytes_estimate DESC NULLS LAST, size_bytes DESC, s.oid
