-- source: pg_class, pg_stat_all_tables, pg_settings (postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM)
-- scope: database
-- role: primary
-- cadence: minutes
-- rows: many, 50 by size, 30 by relfrozenxid_age, 20 by vacuum_percent
-- needs: nothing
-- about: When autovacuum is to come to a table, by what holds for that very table (its storage parameters, else the settings). A TOAST table is a row of its own, under the table whose it is. 50 tables by size, 30 by age, 20 by what they are over the threshold of VACUUM.
--
-- | `relid`, `schemaname`, `relname`, `relkind` | the table; `r` table, `m` materialized view, `t` its TOAST table (`relid` and names are the table's all the same) |
-- | `reloptions` | storage parameters that hold: a TOAST table that has none of its own goes by the table's |
-- | `autovacuum_enabled` | whether the table's parameters let autovacuum in (the setting `autovacuum` is in `total`): where not, it comes against wraparound alone |
-- | `size_bytes`, `reltuples` | as of the last VACUUM or ANALYZE; of the table or TOAST table alone |
-- | `last_vacuum`, `last_autovacuum` | when it was last vacuumed, by hand and by itself |
-- | `n_dead_tup`, `vacuum_threshold`, `vacuum_remaining`, `vacuum_percent` | dead rows, from how many on it is vacuumed, how many are missing (less than 0: overdue), and how far it has come |
-- | `n_ins_since_vacuum`, `vacuum_insert_threshold`, `vacuum_insert_remaining`, `vacuum_insert_percent` | the same of rows inserted (13+); no threshold where that is turned off |
-- | `n_mod_since_analyze`, `analyze_threshold`, `analyze_remaining`, `analyze_percent` | the same of rows changed, for ANALYZE; a TOAST table is never analyzed |
-- | `relfrozenxid_age`, `freeze_max_age`, `freeze_remaining`, `freeze_percent` | the same of transactions since the oldest that is not frozen: at 100 percent it is vacuumed even with autovacuum off |
-- | `relminmxid_age`, `multixact_freeze_max_age`, `multixact_freeze_remaining`, `multixact_freeze_percent` | the same of multixacts. Where their members take much space, the server comes earlier than told here |
-- | `autovacuum_vacuum_threshold`, `autovacuum_vacuum_scale_factor`, `autovacuum_vacuum_max_threshold` (18+) | what `vacuum_threshold` is made of; `null` where there is no maximum |
-- | `autovacuum_vacuum_insert_threshold`, `autovacuum_vacuum_insert_scale_factor` (13+), `autovacuum_analyze_threshold`, `autovacuum_analyze_scale_factor` | and the other two |
--
-- The server adds up as here (18: of inserted rows, the factor is of the pages that are not yet frozen). It counts a
-- table that was never vacuumed as one without rows. A standby has no such counters.
WITH class AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relpersistence, c.relpages, c.reltuples, c.reltoastrelid, c.reloptions, c.relfrozenxid, c.relminmxid,
           c.relallfrozen                                                                             -- [pg >= 18]
-- [pg < 18]           0 AS relallfrozen
      FROM pg_class c
     WHERE c.relkind IN ('r', 'm', 't')
       AND c.oid >= 16384
), option AS MATERIALIZED (
    SELECT c.oid,
           max(CASE WHEN o.option_name = 'autovacuum_enabled' THEN o.option_value END)::boolean AS enabled,
           max(CASE WHEN o.option_name = 'autovacuum_vacuum_threshold' THEN o.option_value END)::float8 AS base,
           max(CASE WHEN o.option_name = 'autovacuum_vacuum_scale_factor' THEN o.option_value END)::float8 AS factor,
           max(CASE WHEN o.option_name = 'autovacuum_vacuum_max_threshold' THEN o.option_value END)::float8 AS most,
           max(CASE WHEN o.option_name = 'autovacuum_vacuum_insert_threshold' THEN o.option_value END)::float8 AS insert_base,
           max(CASE WHEN o.option_name = 'autovacuum_vacuum_insert_scale_factor' THEN o.option_value END)::float8 AS insert_factor,
           max(CASE WHEN o.option_name = 'autovacuum_analyze_threshold' THEN o.option_value END)::float8 AS analyze_base,
           max(CASE WHEN o.option_name = 'autovacuum_analyze_scale_factor' THEN o.option_value END)::float8 AS analyze_factor,
           max(CASE WHEN o.option_name = 'autovacuum_freeze_max_age' THEN o.option_value END)::bigint AS freeze_max_age,
           max(CASE WHEN o.option_name = 'autovacuum_multixact_freeze_max_age' THEN o.option_value END)::bigint AS multixact_freeze_max_age
      FROM class c, pg_options_to_table(c.reloptions) o
     WHERE c.reloptions IS NOT NULL
     GROUP BY c.oid
), setting AS MATERIALIZED (
    SELECT current_setting('autovacuum_vacuum_threshold')::float8 AS base,
           current_setting('autovacuum_vacuum_scale_factor')::float8 AS factor,
           current_setting('autovacuum_vacuum_max_threshold')::float8 AS most,                        -- [pg >= 18]
-- [pg < 18]           (-1)::float8 AS most,
           current_setting('autovacuum_vacuum_insert_threshold')::float8 AS insert_base,              -- [pg >= 13]
           current_setting('autovacuum_vacuum_insert_scale_factor')::float8 AS insert_factor,         -- [pg >= 13]
-- [pg < 13]           (-1)::float8 AS insert_base,
-- [pg < 13]           NULL::float8 AS insert_factor,
           current_setting('autovacuum_analyze_threshold')::float8 AS analyze_base,
           current_setting('autovacuum_analyze_scale_factor')::float8 AS analyze_factor,
           current_setting('autovacuum_freeze_max_age')::bigint AS freeze_max_age,
           current_setting('autovacuum_multixact_freeze_max_age')::bigint AS multixact_freeze_max_age
), heap AS NOT MATERIALIZED (
    SELECT c.oid,
           coalesce(main.oid, c.oid) AS relid,
           c.relkind,
           c.relpages,
           greatest(c.reltuples, 0)::float8 AS tuples,
           CASE WHEN c.relpages > 0 THEN 1 - least(c.relallfrozen, c.relpages)::float8 / c.relpages ELSE 1 END AS unfrozen,  -- [pg >= 18]
-- [pg < 18]           1 AS unfrozen,
           CASE WHEN c.relkind = 't' AND c.reloptions IS NULL THEN main.oid ELSE c.oid END AS options_of,
           CASE WHEN c.relfrozenxid <> '0' THEN age(c.relfrozenxid) END AS frozen_age,
           CASE WHEN c.relminmxid <> '0' THEN mxid_age(c.relminmxid) END AS multixact_age
      FROM class c
      LEFT JOIN class main ON main.reltoastrelid = c.oid
     WHERE c.relpersistence <> 't'
), ruled AS NOT MATERIALIZED (
    SELECT h.*,
           coalesce(o.enabled, true) AS enabled,
           coalesce(o.base, s.base) AS base,
           coalesce(o.factor, s.factor) AS factor,
           nullif(coalesce(o.most, s.most), -1) AS most,
           nullif(coalesce(o.insert_base, s.insert_base), -1) AS insert_base,
           coalesce(o.insert_factor, s.insert_factor) AS insert_factor,
           CASE WHEN h.relkind <> 't' THEN coalesce(o.analyze_base, s.analyze_base) END AS analyze_base,
           CASE WHEN h.relkind <> 't' THEN coalesce(o.analyze_factor, s.analyze_factor) END AS analyze_factor,
           least(o.freeze_max_age, s.freeze_max_age) AS freeze_max_age,
           least(o.multixact_freeze_max_age, s.multixact_freeze_max_age) AS multixact_freeze_max_age
      FROM heap h
     CROSS JOIN setting s
      LEFT JOIN option o ON o.oid = h.options_of
), counted AS MATERIALIZED (
    SELECT r.*,
           floor(least(r.base + r.factor * r.tuples, r.most))::bigint AS threshold,
           floor(r.insert_base + r.insert_factor * r.tuples * r.unfrozen)::bigint AS insert_threshold,
           floor(r.analyze_base + r.analyze_factor * r.tuples)::bigint AS analyze_threshold,
           pg_stat_get_dead_tuples(r.oid) AS dead,
           pg_stat_get_ins_since_vacuum(r.oid) AS inserted,                                           -- [pg >= 13]
-- [pg < 13]           NULL::bigint AS inserted,
           CASE WHEN r.relkind <> 't' THEN pg_stat_get_mod_since_analyze(r.oid) END AS modified
      FROM ruled r
), shown AS MATERIALIZED (
    (SELECT * FROM counted ORDER BY relpages DESC, oid LIMIT 50)
     UNION (SELECT * FROM counted ORDER BY frozen_age DESC NULLS LAST, oid LIMIT 30)
     UNION (SELECT * FROM counted WHERE dead > 0 ORDER BY dead / greatest(threshold, 1)::float8 DESC, oid LIMIT 20)
)
SELECT s.relid::bigint,
       n.nspname AS schemaname,
       main.relname,
       s.relkind,
       o.reloptions,
       s.enabled AS autovacuum_enabled,
       s.relpages * current_setting('block_size')::bigint AS size_bytes,
       CASE WHEN c.reltuples > 0 OR c.reltuples = 0 AND c.relpages > 0 THEN c.reltuples END AS reltuples,
       pg_stat_get_last_vacuum_time(s.oid) AS last_vacuum,
       pg_stat_get_last_autovacuum_time(s.oid) AS last_autovacuum,
       s.dead AS n_dead_tup,
       s.threshold AS vacuum_threshold,
       s.threshold - s.dead AS vacuum_remaining,
       round(100.0 * s.dead / nullif(s.threshold, 0), 1) AS vacuum_percent,
       s.inserted AS n_ins_since_vacuum,
       s.insert_threshold AS vacuum_insert_threshold,
       s.insert_threshold - s.inserted AS vacuum_insert_remaining,
       round(100.0 * s.inserted / nullif(s.insert_threshold, 0), 1) AS vacuum_insert_percent,
       s.modified AS n_mod_since_analyze,
       s.analyze_threshold,
       s.analyze_threshold - s.modified AS analyze_remaining,
       round(100.0 * s.modified / nullif(s.analyze_threshold, 0), 1) AS analyze_percent,
       s.frozen_age AS relfrozenxid_age,
       s.freeze_max_age,
       s.freeze_max_age - s.frozen_age AS freeze_remaining,
       round(100.0 * s.frozen_age / nullif(s.freeze_max_age, 0), 1) AS freeze_percent,
       s.multixact_age AS relminmxid_age,
       s.multixact_freeze_max_age,
       s.multixact_freeze_max_age - s.multixact_age AS multixact_freeze_remaining,
       round(100.0 * s.multixact_age / nullif(s.multixact_freeze_max_age, 0), 1) AS multixact_freeze_percent,
       s.base::bigint AS autovacuum_vacuum_threshold,
       s.factor AS autovacuum_vacuum_scale_factor,
       s.most::bigint AS autovacuum_vacuum_max_threshold,
       s.insert_base::bigint AS autovacuum_vacuum_insert_threshold,
       s.insert_factor AS autovacuum_vacuum_insert_scale_factor,
       s.analyze_base::bigint AS autovacuum_analyze_threshold,
       s.analyze_factor AS autovacuum_analyze_scale_factor
  FROM shown s
  JOIN pg_class c ON c.oid = s.oid
  JOIN pg_class main ON main.oid = s.relid
  JOIN pg_class o ON o.oid = s.options_of
  JOIN pg_namespace n ON n.oid = main.relnamespace
 ORDER BY s.relpages DESC, s.relid, s.relkind
