-- source: pg_stat_all_tables, pg_class, pg_statistic_ext (postgresql.org/docs/current/routine-vacuuming.html#VACUUM-FOR-STATISTICS)
-- scope: database
-- role: primary
-- cadence: hourly
-- rows: one
-- needs: nothing
--
-- | `count` | tables whose statistics are stale or missing, for one reason or more |
-- | `table_count` | tables, materialized views and partitioned tables in all |
-- | `due_count`, `unanalyzed_count`, `differs_count` | how many there are of each reason |
-- | `columns_with_target_0` | columns of all tables for which ANALYZE is turned off |
-- | `extended_statistics_count` | CREATE STATISTICS of the database |
-- | `default_statistics_target` | the setting |
--
-- The tables are judged as in statistics.sql.
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
)
SELECT count(*) FILTER (WHERE is_due OR is_unknown OR differs) AS count,
       count(*) AS table_count,
       count(*) FILTER (WHERE is_due) AS due_count,
       count(*) FILTER (WHERE is_unknown) AS unanalyzed_count,
       count(*) FILTER (WHERE differs) AS differs_count,
       (SELECT count(*) FROM pg_attribute a JOIN judged j ON j.oid = a.attrelid
         WHERE a.attstattarget = 0 AND a.attnum > 0 AND NOT a.attisdropped) AS columns_with_target_0,
       (SELECT count(*) FROM pg_statistic_ext WHERE oid >= 16384) AS extended_statistics_count,
       current_setting('default_statistics_target')::int AS default_statistics_target
  FROM judged
