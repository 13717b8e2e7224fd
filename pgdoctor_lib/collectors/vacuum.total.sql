-- source: pg_class, pg_stat_all_tables, pg_settings (postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM)
-- scope: database
-- role: primary
-- cadence: minutes
-- rows: one
-- needs: nothing
--
-- | `count` | tables, materialized views and TOAST tables; no system and no temporary ones |
-- | `autovacuum`, `track_counts` | the settings: where one of them is off, autovacuum comes against wraparound alone |
-- | `autovacuum_disabled_count`, `autovacuum_disabled_bytes` | tables that keep autovacuum off by a storage parameter, and their size |
-- | `vacuum_due_count`, `vacuum_insert_due_count` (13+), `analyze_due_count` | tables over their thresholds: what autovacuum has before it |
-- | `freeze_due_count`, `multixact_freeze_due_count` | tables to be vacuumed against wraparound |
-- | `freeze_percent`, `multixact_freeze_percent` | how far the one has come that is next |
--
-- The tables and their thresholds are found as in vacuum.sql.
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
)
SELECT count(*) AS count,
       current_setting('autovacuum')::boolean AS autovacuum,
       current_setting('track_counts')::boolean AS track_counts,
       count(*) FILTER (WHERE NOT enabled) AS autovacuum_disabled_count,
       coalesce(sum(relpages) FILTER (WHERE NOT enabled), 0)::bigint * current_setting('block_size')::bigint AS autovacuum_disabled_bytes,
       count(*) FILTER (WHERE dead > threshold) AS vacuum_due_count,
       count(*) FILTER (WHERE inserted > insert_threshold) AS vacuum_insert_due_count,
       count(*) FILTER (WHERE modified > analyze_threshold) AS analyze_due_count,
       count(*) FILTER (WHERE frozen_age > freeze_max_age) AS freeze_due_count,
       count(*) FILTER (WHERE multixact_age > multixact_freeze_max_age) AS multixact_freeze_due_count,
       round(max(100.0 * frozen_age / nullif(freeze_max_age, 0)), 1) AS freeze_percent,
       round(max(100.0 * multixact_age / nullif(multixact_freeze_max_age, 0)), 1) AS multixact_freeze_percent
  FROM counted
