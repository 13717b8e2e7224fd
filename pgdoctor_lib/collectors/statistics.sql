-- source: pg_stat_all_tables, pg_class, pg_stats, pg_statistic_ext (postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-STATISTICS)
-- scope: database
-- role: primary
-- cadence: hourly
-- rows: many, 30 by analyze_percent, 30 never analyzed by size, 20 by what reltuples is off
-- needs: nothing; but what pg_stats has is seen by who may read the table (pg_read_all_data, 14+)
-- about: Tables whose statistics for the planner are stale or missing, no others: 30 that are most over their threshold of ANALYZE, the 30 largest of which no ANALYZE is known though they are not empty, and 20 where `reltuples` is far from `n_live_tup` (by 10,000 rows and by half).
--
-- | `relid`, `schemaname`, `relname`, `relkind` | the table; `r` table, `m` materialized view, `p` partitioned table (14+): that one autovacuum never analyzes |
-- | `size_bytes`, `reltuples` | as of the last VACUUM or ANALYZE; `null`: there was none yet |
-- | `n_live_tup` | rows, by the counters; 0 for a partitioned table |
-- | `n_mod_since_analyze`, `analyze_threshold`, `analyze_percent` | rows changed since the last ANALYZE, from how many on autovacuum does it again (by the table's own storage parameters, else the settings), and the share |
-- | `autovacuum_enabled` | whether the table's parameters let it |
-- | `is_due`, `is_unanalyzed`, `differs` | why the row is here: changes are over the threshold; no ANALYZE is known; `reltuples` is far from `n_live_tup` |
-- | `last_analyze`, `last_autoanalyze`, `last_analyze_age_s` | when it was analyzed, by hand and by itself, and seconds since the later of them; lost when counters are reset, as by a crash |
-- | `never_analyzed` | whether it has no statistics at all; `null` where that cannot be told: counters may have been reset, and the role may not read the table |
-- | `column_count`, `columns_without_statistics` | columns, and those of which pg_stats has nothing (`null`: the role may not read the table) |
-- | `columns_with_target_0` | columns for which ANALYZE is turned off (`SET STATISTICS 0`) |
-- | `extended_statistics_count` | CREATE STATISTICS on it |
WITH option AS MATERIALIZED (
    SELECT c.oid,
           max(CASE WHEN o.option_name = 'autovacuum_enabled' THEN o.option_value END)::boolean AS enabled,
           max(CASE WHEN o.option_name = 'autovacuum_analyze_threshold' THEN o.option_value END)::float8 AS base,
           max(CASE WHEN o.option_name = 'autovacuum_analyze_scale_factor' THEN o.option_value END)::float8 AS factor
      FROM pg_class c, pg_options_to_table(c.reloptions) o
     WHERE c.reloptions IS NOT NULL
       AND c.relkind IN ('r', 'm')
       AND c.oid >= 16384
     GROUP BY c.oid
), heap AS MATERIALIZED (
    SELECT c.oid,
           c.relkind,
           c.relpages,
           CASE WHEN c.reltuples > 0 OR c.reltuples = 0 AND c.relpages > 0 THEN c.reltuples::float8 END AS tuples,
           CASE WHEN c.relkind <> 'p' THEN coalesce(o.enabled, true) END AS enabled,
           CASE WHEN c.relkind <> 'p'
                THEN floor(coalesce(o.base, current_setting('autovacuum_analyze_threshold')::float8)
                           + coalesce(o.factor, current_setting('autovacuum_analyze_scale_factor')::float8)
                             * greatest(c.reltuples, 0))::bigint
           END AS threshold,
           pg_stat_get_live_tuples(c.oid) AS live,
           pg_stat_get_mod_since_analyze(c.oid) AS modified,
           greatest(pg_stat_get_last_analyze_time(c.oid), pg_stat_get_last_autoanalyze_time(c.oid)) AS analyzed,
           greatest(pg_stat_get_last_vacuum_time(c.oid), pg_stat_get_last_autovacuum_time(c.oid)) AS vacuumed
      FROM pg_class c
      LEFT JOIN option o ON o.oid = c.oid
     WHERE c.relkind IN ('r', 'm', 'p')
       AND c.relpersistence <> 't'
       AND c.oid >= 16384
), judged AS MATERIALIZED (
    SELECT h.*,
           h.modified > h.threshold AS is_due,
           h.analyzed IS NULL
           AND CASE WHEN h.relkind <> 'p' THEN h.live > 0 OR h.tuples > 0
                    ELSE h.tuples IS NULL                                                                 -- [pg >= 14]
                         AND EXISTS (SELECT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid      -- [pg >= 14]
                                      WHERE i.inhparent = h.oid AND (c.reltuples > 0 OR c.relkind = 'p')) -- [pg >= 14]
-- [pg < 14]                    ELSE false
               END AS is_unknown,
           h.relkind <> 'p'
           AND coalesce(h.analyzed, h.vacuumed) IS NOT NULL
           AND abs(h.live - h.tuples) > 10000
           AND abs(h.live - h.tuples) > h.tuples / 2 AS differs
      FROM heap h
), shown AS MATERIALIZED (
    (SELECT * FROM judged WHERE is_due ORDER BY modified / greatest(threshold, 1)::float8 DESC, oid LIMIT 30)
     UNION (SELECT * FROM judged WHERE is_unknown ORDER BY relpages DESC, live DESC, oid LIMIT 30)
     UNION (SELECT * FROM judged WHERE differs ORDER BY abs(live - tuples) DESC, oid LIMIT 20)
)
SELECT s.oid::bigint AS relid,
       n.nspname AS schemaname,
       c.relname,
       s.relkind,
       c.relpages * current_setting('block_size')::bigint AS size_bytes,
       s.tuples AS reltuples,
       s.live AS n_live_tup,
       s.modified AS n_mod_since_analyze,
       s.threshold AS analyze_threshold,
       round(100.0 * s.modified / nullif(s.threshold, 0), 1) AS analyze_percent,
       s.enabled AS autovacuum_enabled,
       coalesce(s.is_due, false) AS is_due,
       s.is_unknown AS is_unanalyzed,
       coalesce(s.differs, false) AS differs,
       pg_stat_get_last_analyze_time(s.oid) AS last_analyze,
       pg_stat_get_last_autoanalyze_time(s.oid) AS last_autoanalyze,
       round(extract(epoch FROM clock_timestamp() - s.analyzed)::numeric, 3) AS last_analyze_age_s,
       CASE WHEN s.analyzed IS NOT NULL THEN false
            WHEN a.visible THEN a.known = 0
            WHEN s.tuples IS NULL THEN true
       END AS never_analyzed,
       a.count AS column_count,
       CASE WHEN a.visible THEN a.count - a.known END AS columns_without_statistics,
       a.off AS columns_with_target_0,
       (SELECT count(*) FROM pg_statistic_ext WHERE stxrelid = s.oid) AS extended_statistics_count
  FROM shown s
  JOIN pg_class c ON c.oid = s.oid
  JOIN pg_namespace n ON n.oid = c.relnamespace
 CROSS JOIN LATERAL (
       SELECT count(*) AS count,
              count(*) FILTER (WHERE a.attstattarget = 0) AS off,
              count(known.attname) AS known,
              bool_and(has_column_privilege(s.oid, a.attnum, 'SELECT')) AND NOT row_security_active(s.oid) AS visible
         FROM pg_attribute a
         LEFT JOIN (SELECT DISTINCT attname FROM pg_stats
                     WHERE schemaname = n.nspname AND tablename = c.relname) known ON known.attname = a.attname
        WHERE a.attrelid = s.oid AND a.attnum > 0 AND NOT a.attisdropped) a
 ORDER BY analyze_percent DESC NULLS LAST, size_bytes DESC, relid
