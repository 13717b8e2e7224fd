-- source: pg_class, pg_stat_all_tables, pg_settings (postgresql.org/docs/current/routine-vacuuming.html#AUTOVACUUM)
-- scope: database
-- role: primary
-- cadence: minutes
-- rows: many, 30: 20 by over_factor, and 10 by size
-- needs: nothing
-- about: Tables, those of the system and TOAST tables among them, that are over a threshold of autovacuum's, those furthest over it first. Each threshold is the one that holds for the table: its own (`reloptions`), else the server's.
--
-- | `relid`, `relkind`, `schemaname`, `relname` | which it is: `r` table, `m` materialized view, `t` a TOAST table, whose schema and name are those of the table that it belongs to |
-- | `over_factor` | the greatest of: dead rows, inserted rows, changed rows, ages, each by its threshold; above 1 it is autovacuum's turn |
-- | `autovacuum_enabled` | `false`: it is not touched, unless to prevent wraparound |
-- | `reloptions` | the settings of its own that have to do with autovacuum |
-- | `size_bytes`, `reltuples` | as of the last VACUUM or ANALYZE |
-- | `n_dead_tup`, `vacuum_threshold` | dead rows, and from how many on it is vacuumed |
-- | `n_ins_since_vacuum`, `vacuum_insert_threshold` | 13+: rows inserted since, and from how many on it is vacuumed; `null` where that is off |
-- | `n_mod_since_analyze`, `analyze_threshold` | rows changed since, and from how many on it is analyzed; `null` for TOAST, which never is |
-- | `relfrozenxid_age`, `freeze_max_age`, `relminmxid_age`, `multixact_freeze_max_age` | ages, and from where on it is vacuumed to prevent wraparound |
-- | `vacuum_due`, `insert_vacuum_due`, `analyze_due`, `freeze_due` | which of these it is over |
-- | `last_vacuum`, `last_autovacuum`, `last_analyze`, `last_autoanalyze` | when that was done last |
-- | `worker_pid` | who is at it now, autovacuum's worker or somebody's VACUUM or (13+) ANALYZE |
--
-- The rules are autovacuum's. A TOAST table without options of its own takes all of its table's. A table's freeze_max_age
-- counts only where it is less than the server's. In 18 insertions are measured by the part not yet frozen.
-- Options are read for the few tables that have any: taking them apart for each would cost more than all the rest.
-- Thresholds are worked out for tables where something happened, or older than the least that the ages can be set to.
-- autovacuum_queue.total.sql begins with the same lines.
WITH own AS MATERIALIZED (
    SELECT c.oid, c.reltoastrelid, array_agg(word ORDER BY word) AS words,
           json_object_agg(split_part(word, '=', 1), split_part(word, '=', 2)) AS value
      FROM pg_class c, unnest(c.reloptions) word
     WHERE c.reloptions IS NOT NULL AND word LIKE 'autovacuum%'
     GROUP BY c.oid, c.reltoastrelid
), option AS MATERIALIZED (
    SELECT oid, words,
           (value ->> 'autovacuum_enabled')::boolean AS enabled,
           (value ->> 'autovacuum_vacuum_threshold')::float8 AS vacuum_threshold,
           (value ->> 'autovacuum_vacuum_max_threshold')::float8 AS vacuum_max_threshold,
           (value ->> 'autovacuum_vacuum_scale_factor')::float8 AS vacuum_scale_factor,
           (value ->> 'autovacuum_vacuum_insert_threshold')::float8 AS insert_threshold,
           (value ->> 'autovacuum_vacuum_insert_scale_factor')::float8 AS insert_scale_factor,
           (value ->> 'autovacuum_analyze_threshold')::float8 AS analyze_threshold,
           (value ->> 'autovacuum_analyze_scale_factor')::float8 AS analyze_scale_factor,
           (value ->> 'autovacuum_freeze_max_age')::float8 AS freeze_max_age,
           (value ->> 'autovacuum_multixact_freeze_max_age')::float8 AS multixact_freeze_max_age
      FROM (SELECT oid, words, value FROM own
             UNION ALL
            SELECT t.oid, o.words, o.value FROM own o JOIN pg_class t ON t.oid = o.reltoastrelid AND t.reloptions IS NULL) t
), server AS MATERIALIZED (
    SELECT current_setting('autovacuum_vacuum_threshold')::int AS vacuum_threshold,
           current_setting('autovacuum_vacuum_max_threshold')::int AS vacuum_max_threshold,  -- [pg >= 18]
-- [pg < 18]           -1 AS vacuum_max_threshold,
           current_setting('autovacuum_vacuum_scale_factor')::float8 AS vacuum_scale_factor,
           current_setting('autovacuum_vacuum_insert_threshold')::int AS insert_threshold,        -- [pg >= 13]
           current_setting('autovacuum_vacuum_insert_scale_factor')::float8 AS insert_scale_factor,  -- [pg >= 13]
-- [pg < 13]           -1 AS insert_threshold,
-- [pg < 13]           0::float8 AS insert_scale_factor,
           current_setting('autovacuum_analyze_threshold')::int AS analyze_threshold,
           current_setting('autovacuum_analyze_scale_factor')::float8 AS analyze_scale_factor,
           current_setting('autovacuum_freeze_max_age')::int AS freeze_max_age,
           current_setting('autovacuum_multixact_freeze_max_age')::int AS multixact_freeze_max_age
), due AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relpages, c.reltuples, o.words, coalesce(o.enabled, true) AS enabled, n.*, t.*,
           n.dead > t.vacuum_threshold AS vacuum_due,
           coalesce(n.inserted > t.insert_threshold, false) AS insert_due,
           coalesce(n.changed > t.analyze_threshold, false) AS analyze_due,
           coalesce(n.xid_age > t.freeze_max_age, false) OR coalesce(n.mxid_age > t.multixact_freeze_max_age, false) AS freeze_due,
           greatest(n.dead / greatest(t.vacuum_threshold, 1), n.inserted / greatest(t.insert_threshold, 1),
                    n.changed / greatest(t.analyze_threshold, 1), n.xid_age / t.freeze_max_age::float8,
                    n.mxid_age / t.multixact_freeze_max_age::float8) AS over_factor
      FROM pg_class c
     CROSS JOIN server s
      LEFT JOIN option o ON o.oid = c.oid
     CROSS JOIN LATERAL (
           SELECT pg_stat_get_dead_tuples(c.oid) AS dead,
                  pg_stat_get_ins_since_vacuum(c.oid) AS inserted,                        -- [pg >= 13]
-- [pg < 13]                  NULL::bigint AS inserted,
                  CASE WHEN c.relkind <> 't' AND c.oid <> 'pg_statistic'::regclass
                       THEN pg_stat_get_mod_since_analyze(c.oid) END AS changed,
                  CASE WHEN c.relfrozenxid <> '0' THEN age(c.relfrozenxid) END AS xid_age,
                  CASE WHEN c.relminmxid <> '0' THEN mxid_age(c.relminmxid) END AS mxid_age
           OFFSET 0) n
     CROSS JOIN LATERAL (
           SELECT least(coalesce(o.vacuum_threshold, s.vacuum_threshold)
                        + coalesce(o.vacuum_scale_factor, s.vacuum_scale_factor) * greatest(c.reltuples, 0),
                        CASE WHEN coalesce(o.vacuum_max_threshold, s.vacuum_max_threshold) >= 0
                             THEN coalesce(o.vacuum_max_threshold, s.vacuum_max_threshold) END) AS vacuum_threshold,
                  CASE WHEN coalesce(o.insert_threshold, s.insert_threshold) >= 0
                       THEN coalesce(o.insert_threshold, s.insert_threshold)
                            + coalesce(o.insert_scale_factor, s.insert_scale_factor) * greatest(c.reltuples, 0)
                              * (1 - coalesce(least(c.relallfrozen, c.relpages)::float8 / nullif(c.relpages, 0), 0))  -- [pg >= 18]
                  END AS insert_threshold,
                  coalesce(o.analyze_threshold, s.analyze_threshold)
                  + coalesce(o.analyze_scale_factor, s.analyze_scale_factor) * greatest(c.reltuples, 0) AS analyze_threshold,
                  least(o.freeze_max_age, s.freeze_max_age)::int AS freeze_max_age,
                  least(o.multixact_freeze_max_age, s.multixact_freeze_max_age)::int AS multixact_freeze_max_age
           OFFSET 0) t
     WHERE c.relkind IN ('r', 'm', 't')
       AND c.relpersistence <> 't'
       AND (n.dead > 0 OR n.inserted > 0 OR n.changed > 0 OR n.xid_age > 100000 OR n.mxid_age > 10000)
       AND (n.dead > t.vacuum_threshold
            OR n.inserted > t.insert_threshold
            OR n.changed > t.analyze_threshold
            OR n.xid_age > t.freeze_max_age
            OR n.mxid_age > t.multixact_freeze_max_age)
), shown AS MATERIALIZED (
    (SELECT * FROM due ORDER BY over_factor DESC, oid LIMIT 20)
     UNION (SELECT * FROM due ORDER BY relpages DESC, oid LIMIT 10)
), toasted AS MATERIALIZED (
    SELECT oid, reltoastrelid FROM pg_class WHERE (reltoastrelid IN (SELECT oid FROM shown WHERE relkind = 't')) IS TRUE
)
SELECT s.oid::bigint AS relid,
       s.relkind,
       n.nspname AS schemaname,
       c.relname,
       round(s.over_factor::numeric, 2) AS over_factor,
       s.enabled AS autovacuum_enabled,
       s.words AS reloptions,
       s.relpages * current_setting('block_size')::bigint AS size_bytes,
       nullif(s.reltuples, -1) AS reltuples,
       s.dead AS n_dead_tup,
       ceil(s.vacuum_threshold)::bigint AS vacuum_threshold,
       s.inserted AS n_ins_since_vacuum,
       ceil(s.insert_threshold)::bigint AS vacuum_insert_threshold,
       s.changed AS n_mod_since_analyze,
       CASE WHEN s.changed IS NOT NULL THEN ceil(s.analyze_threshold)::bigint END AS analyze_threshold,
       s.xid_age AS relfrozenxid_age,
       s.freeze_max_age,
       s.mxid_age AS relminmxid_age,
       s.multixact_freeze_max_age,
       s.vacuum_due,
       s.insert_due AS insert_vacuum_due,
       s.analyze_due,
       s.freeze_due,
       pg_stat_get_last_vacuum_time(s.oid) AS last_vacuum,
       pg_stat_get_last_autovacuum_time(s.oid) AS last_autovacuum,
       pg_stat_get_last_analyze_time(s.oid) AS last_analyze,
       pg_stat_get_last_autoanalyze_time(s.oid) AS last_autoanalyze,
       coalesce((SELECT min(pid) FROM pg_stat_progress_vacuum WHERE relid = s.oid AND datname = current_database()),
                (SELECT min(pid) FROM pg_stat_progress_analyze WHERE relid = s.oid AND datname = current_database()), -- [pg >= 13]
                NULL) AS worker_pid
  FROM shown s
  LEFT JOIN toasted m ON m.reltoastrelid = s.oid
  JOIN pg_class c ON c.oid = coalesce(m.oid, s.oid)
  JOIN pg_namespace n ON n.oid = c.relnamespace
 ORDER BY s.over_factor DESC, s.oid
