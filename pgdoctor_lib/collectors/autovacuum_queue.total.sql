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
WITH option AS MATERIALIZED (
    SELECT oid, array_agg(word ORDER BY word) AS words,
           max(split_part(word, '=', 2)) FILTER (WHERE word LIKE 'autovacuum_enabled=%') AS enabled,
           max(split_part(word, '=', 2)) FILTER (WHERE word LIKE 'autovacuum_vacuum_threshold=%') AS vacuum_threshold,
           max(split_part(word, '=', 2)) FILTER (WHERE word LIKE 'autovacuum_vacuum_max_threshold=%') AS vacuum_max_threshold,
           max(split_part(word, '=', 2)) FILTER (WHERE word LIKE 'autovacuum_vacuum_scale_factor=%') AS vacuum_scale_factor,
           max(split_part(word, '=', 2)) FILTER (WHERE word LIKE 'autovacuum_vacuum_insert_threshold=%') AS insert_threshold,
           max(split_part(word, '=', 2)) FILTER (WHERE word LIKE 'autovacuum_vacuum_insert_scale_factor=%') AS insert_scale_factor,
           max(split_part(word, '=', 2)) FILTER (WHERE word LIKE 'autovacuum_analyze_threshold=%') AS analyze_threshold,
           max(split_part(word, '=', 2)) FILTER (WHERE word LIKE 'autovacuum_analyze_scale_factor=%') AS analyze_scale_factor,
           max(split_part(word, '=', 2)) FILTER (WHERE word LIKE 'autovacuum_freeze_max_age=%') AS freeze_max_age,
           max(split_part(word, '=', 2)) FILTER (WHERE word LIKE 'autovacuum_multixact_freeze_max_age=%') AS multixact_freeze_max_age
      FROM pg_class, unnest(reloptions) word
     WHERE reloptions IS NOT NULL AND word LIKE 'autovacuum%'
     GROUP BY oid
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
), relation AS MATERIALIZED (
    SELECT c.oid, c.relkind, c.relpages, greatest(c.reltuples, 0) AS reltuples,
           CASE WHEN c.relpages > 0 AND c.relallfrozen > 0                                -- [pg >= 18]
                THEN 1 - least(c.relallfrozen, c.relpages)::float8 / c.relpages ELSE 1 END AS unfrozen,  -- [pg >= 18]
-- [pg < 18]           1 AS unfrozen,
           CASE WHEN c.relkind = 't' THEN m.oid ELSE c.oid END AS owner_oid,
           CASE WHEN c.relkind = 't' AND c.reloptions IS NULL THEN m.oid ELSE c.oid END AS option_oid,
           pg_stat_get_dead_tuples(c.oid) AS dead,
           pg_stat_get_ins_since_vacuum(c.oid) AS inserted,                               -- [pg >= 13]
-- [pg < 13]           NULL::bigint AS inserted,
           CASE WHEN c.relkind <> 't' AND c.oid <> 'pg_statistic'::regclass THEN pg_stat_get_mod_since_analyze(c.oid) END AS changed,
           CASE WHEN c.relfrozenxid <> '0' THEN age(c.relfrozenxid) END AS xid_age,
           CASE WHEN c.relminmxid <> '0' THEN mxid_age(c.relminmxid) END AS mxid_age
      FROM pg_class c
      LEFT JOIN pg_class m ON c.relkind = 't' AND m.reltoastrelid = c.oid
     WHERE c.relkind IN ('r', 'm', 't')
       AND c.relpersistence <> 't'
), measured AS MATERIALIZED (
    SELECT r.*,
           coalesce(o.enabled::boolean, true) AS enabled,
           o.words,
           CASE WHEN coalesce(o.vacuum_max_threshold::int, s.vacuum_max_threshold) >= 0
                THEN least(v.threshold, coalesce(o.vacuum_max_threshold::int, s.vacuum_max_threshold))
                ELSE v.threshold
           END AS vacuum_threshold,
           CASE WHEN coalesce(o.insert_threshold::int, s.insert_threshold) >= 0
                THEN coalesce(o.insert_threshold::int, s.insert_threshold)
                     + coalesce(o.insert_scale_factor::float8, s.insert_scale_factor) * r.reltuples * r.unfrozen
           END AS insert_threshold,
           CASE WHEN r.changed IS NOT NULL
                THEN coalesce(o.analyze_threshold::int, s.analyze_threshold)
                     + coalesce(o.analyze_scale_factor::float8, s.analyze_scale_factor) * r.reltuples
           END AS analyze_threshold,
           least(o.freeze_max_age::int, s.freeze_max_age) AS freeze_max_age,
           least(o.multixact_freeze_max_age::int, s.multixact_freeze_max_age) AS multixact_freeze_max_age
      FROM relation r
     CROSS JOIN server s
      LEFT JOIN option o ON o.oid = r.option_oid
     CROSS JOIN LATERAL (SELECT coalesce(o.vacuum_threshold::int, s.vacuum_threshold)
                                + coalesce(o.vacuum_scale_factor::float8, s.vacuum_scale_factor) * r.reltuples AS threshold) v
), due AS MATERIALIZED (
    SELECT m.*,
           m.dead > m.vacuum_threshold AS vacuum_due,
           coalesce(m.inserted > m.insert_threshold, false) AS insert_due,
           coalesce(m.changed > m.analyze_threshold, false) AS analyze_due,
           coalesce(m.xid_age > m.freeze_max_age, false) OR coalesce(m.mxid_age > m.multixact_freeze_max_age, false) AS freeze_due
      FROM measured m
     WHERE m.dead > m.vacuum_threshold
        OR m.inserted > m.insert_threshold
        OR m.changed > m.analyze_threshold
        OR m.xid_age > m.freeze_max_age
        OR m.mxid_age > m.multixact_freeze_max_age
), waiting AS MATERIALIZED (
    SELECT d.*, enabled OR freeze_due AS taken,
           greatest(dead / greatest(vacuum_threshold, 1), inserted / greatest(insert_threshold, 1), changed / greatest(analyze_threshold, 1),
                    xid_age / freeze_max_age::float8, mxid_age / multixact_freeze_max_age::float8) AS over_factor
      FROM due d
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
  FROM waiting
