-- source: pg_class, pg_stat_all_tables, pg_settings
-- scope: database
-- role: primary
-- cadence: minutes
-- rows: one
-- needs: nothing
--
-- | `count` | tables that are over a threshold |
-- | `waiting_count` | of these those that autovacuum will take: not with `autovacuum_enabled=false`, unless to prevent wraparound |
-- | `vacuum_due_count`, `insert_vacuum_due_count`, `analyze_due_count`, `freeze_due_count` | those waiting, by what for |
-- | `disabled_count` | those over a threshold that it will not take |
-- | `size_bytes`, `n_dead_tup` | of those waiting |
-- | `worst_over_factor` | the greatest `over_factor` of those waiting |
--
-- The lines before the last SELECT are those of autovacuum_queue.sql.
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
)
SELECT count(*) AS count,
       count(*) FILTER (WHERE taken) AS waiting_count,
       count(*) FILTER (WHERE taken AND vacuum_due) AS vacuum_due_count,
       count(*) FILTER (WHERE taken AND insert_due) AS insert_vacuum_due_count,
       count(*) FILTER (WHERE taken AND analyze_due) AS analyze_due_count,
       count(*) FILTER (WHERE freeze_due) AS freeze_due_count,
       count(*) FILTER (WHERE NOT taken) AS disabled_count,
       coalesce(sum(relpages) FILTER (WHERE taken), 0)::bigint * current_setting('block_size')::bigint AS size_bytes,
       coalesce(sum(dead) FILTER (WHERE taken), 0)::bigint AS n_dead_tup,
       round((max(over_factor) FILTER (WHERE taken))::numeric, 2) AS worst_over_factor
  FROM (SELECT *, enabled OR freeze_due AS taken FROM due) t
