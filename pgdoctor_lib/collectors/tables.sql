-- source: pg_class, pg_inherits, pg_stat_all_tables, pg_statio_all_tables (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-TABLES-VIEW)
-- scope: database
-- rows: many, 50 each by size, n_dead_tup, heap blocks read and relfrozenxid_age, 20 each locked and without autovacuum, 10 leaf partitions each by size, n_dead_tup and relfrozenxid_age
-- needs: nothing
-- counters: seq_scan, seq_tup_read, idx_scan, idx_tup_fetch, n_tup_ins, n_tup_upd, n_tup_del, n_tup_hot_upd, n_tup_newpage_upd, heap_blks_read, heap_blks_hit, vacuum_count, autovacuum_count, analyze_count, autoanalyze_count, total_vacuum_time_ms, total_autovacuum_time_ms, total_analyze_time_ms, total_autoanalyze_time_ms
-- about: Ordinary and partitioned tables and materialized views: no system, TOAST or temporary ones. A partition tree is one row, its root's, that sums up all its partitions; 10 leaf partitions each by size, dead rows and age have rows of their own besides. `rows`: 50 each by size, by dead rows, by blocks read and by age, and 20 each of those locked and of those without autovacuum. Sizes are those of `relpages`, which VACUUM and ANALYZE write (a table that never saw either has 0): asking the file system would wait for whoever holds ACCESS EXCLUSIVE; see `table_sizes`. A standby has no live and dead rows, and scan counters of its own.
--
-- | `relid`, `schemaname`, `relname` | the table |
-- | `relkind`, `relpersistence`, `relispartition`, `reloptions`, `toast_reloptions` | `r` table, `p` partitioned, `m` materialized view; `p` permanent, `u` unlogged; storage parameters, its own and its TOAST table's |
-- | `partition_count` | of a partitioned table: leaf partitions, on whatever level; all that follows is their sum, or the greatest |
-- | `most_dead_partition`, `oldest_partition` | of a partitioned table: the leaf with most dead rows, and that with the greatest `relfrozenxid_age`: `relid`, `schemaname`, `relname`, `n_live_tup`, `n_dead_tup`, `last_autovacuum`, `relfrozenxid_age` |
-- | `locked` | whether somebody holds or awaits ACCESS EXCLUSIVE on it, or on a partition of it |
-- | `is_extension_member` | whether an extension made it |
-- | `has_primary_key`, `relreplident` | and what identifies a row in logical replication: `d` the primary key, `n` nothing, `f` the whole row, `i` an index |
-- | `unique_key`, `free_column` | without a primary key: a unique index over columns that are NOT NULL (`indexrelname`, `columns`), and whether it can be made the key as it is (`is_free`); a column's name that is not taken |
-- | `autovacuum_enabled` | `false` where storage parameters turn it off, on one partition at least |
-- | `reltuples` | rows, as estimated by the last VACUUM or ANALYZE |
-- | `size_bytes`, `table_size_bytes`, `toast_size_bytes`, `indexes_size_bytes` | all, and the parts of it |
-- | `index_count` | indexes on it |
-- | `n_live_tup`, `n_dead_tup`, `n_mod_since_analyze`, `n_ins_since_vacuum` (13+) | rows, as counted by the statistics |
-- | `seq_scan`, `last_seq_scan` (16+), `seq_tup_read` | sequential scans |
-- | `idx_scan`, `last_idx_scan` (16+), `idx_tup_fetch` | index scans |
-- | `n_tup_ins`, `n_tup_upd`, `n_tup_del`, `n_tup_hot_upd`, `n_tup_newpage_upd` (16+) | rows changed; HOT: without touching the indexes |
-- | `heap_blks_read`, `heap_blks_hit` | blocks, as in `database` |
-- | `last_vacuum`, `last_autovacuum`, `last_analyze`, `last_autoanalyze` | when it was last done, to the millisecond |
-- | `vacuum_count`, `autovacuum_count`, `analyze_count`, `autoanalyze_count` | how often |
-- | `total_vacuum_time_ms`, `total_autovacuum_time_ms`, `total_analyze_time_ms`, `total_autoanalyze_time_ms` | 18+: time spent on it |
-- | `relfrozenxid_age`, `relminmxid_age` | transactions and multixacts since the oldest not frozen, its TOAST table's where that is older |
--
-- Statistics come from pg_stat_get_*(), which the views are made of: for all relations only what ranks them, and the
-- rest for those shown. Objects below oid 16384 are the system's own. The trees are read from pg_inherits, since
-- pg_partition_tree() locks every partition.
-- What a table's counters cost is to find them: so they are read in one go. tables.total.sql begins with the same CTEs, which are computed once for both.
WITH each AS MATERIALIZED (
    SELECT oid,
           relkind,
           relispartition,
           reltoastrelid,
           greatest(relpages, 0) AS pages,
           reltuples,
           reloptions::text ~* 'autovacuum_enabled=(f|of|n|0)' AS unattended,
           CASE WHEN relfrozenxid <> '0' THEN age(relfrozenxid) END AS relfrozenxid_age,
           CASE WHEN relminmxid <> '0' THEN mxid_age(relminmxid) END AS relminmxid_age,
           CASE WHEN relkind <> 't' THEN pg_stat_get_live_tuples(oid) END AS live,
           CASE WHEN relkind <> 't' THEN pg_stat_get_dead_tuples(oid) END AS dead,
           CASE WHEN relkind <> 't' THEN pg_stat_get_blocks_fetched(oid) END AS reads,
           CASE WHEN relkind <> 't' THEN pg_stat_get_numscans(oid) END AS scans,
           CASE WHEN relkind <> 't' THEN pg_stat_get_tuples_returned(oid) END AS returned
      FROM pg_class
     WHERE relkind IN ('r', 'm', 'p', 't')
       AND relpersistence <> 't'
       AND oid >= 16384
), held AS MATERIALIZED (
    SELECT DISTINCT relation AS oid
      FROM pg_locks
     WHERE locktype = 'relation'
       AND mode = 'AccessExclusiveLock'
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
), tree AS MATERIALIZED (
    WITH RECURSIVE walk (root, oid, relkind) AS (
        SELECT oid, oid, relkind FROM pg_partitioned_table JOIN pg_class ON oid = partrelid WHERE NOT relispartition
        UNION ALL
        SELECT walk.root, c.oid, c.relkind
          FROM walk
          JOIN pg_inherits ON inhparent = walk.oid
          JOIN pg_class c ON c.oid = inhrelid
         WHERE walk.relkind = 'p'
    )
    SELECT * FROM walk
), relation AS MATERIALIZED (
    SELECT c.oid,
           c.relkind,
           tree.root,
           c.unattended,
           c.pages + coalesce(t.pages, 0) AS pages,
           c.dead,
           c.reads,
           greatest(c.relfrozenxid_age, t.relfrozenxid_age) AS relfrozenxid_age
      FROM each c
      LEFT JOIN each t ON t.oid = c.reltoastrelid AND t.relkind = 't'
      LEFT JOIN tree ON tree.oid = c.oid
     WHERE c.relkind <> 't'
), part AS MATERIALIZED (
    SELECT * FROM relation WHERE root IS NOT NULL
), trunk AS MATERIALIZED (
    SELECT root AS oid, sum(pages) AS pages, sum(dead)::bigint AS dead, sum(reads)::bigint AS reads,
           max(relfrozenxid_age) AS relfrozenxid_age, bool_or(unattended) AS unattended
      FROM part
     GROUP BY root
), folded AS NOT MATERIALIZED (
    SELECT oid, pages, dead, reads, relfrozenxid_age, unattended FROM relation WHERE root IS NULL
     UNION ALL
    SELECT oid, pages, dead, reads, relfrozenxid_age, unattended FROM trunk
), shown AS MATERIALIZED (
    (SELECT oid FROM folded ORDER BY pages DESC, oid LIMIT 50)
     UNION (SELECT oid FROM folded WHERE dead > 0 ORDER BY dead DESC, oid LIMIT 50)
     UNION (SELECT oid FROM folded WHERE reads > 0 ORDER BY reads DESC, oid LIMIT 50)
     UNION (SELECT oid FROM folded ORDER BY relfrozenxid_age DESC NULLS LAST, oid LIMIT 50)
     UNION (SELECT oid FROM folded WHERE unattended ORDER BY pages DESC, oid LIMIT 20)
     UNION (SELECT oid FROM relation WHERE oid IN (SELECT oid FROM held) ORDER BY pages DESC, oid LIMIT 20)
     UNION (SELECT oid FROM part WHERE relkind = 'r' ORDER BY pages DESC, oid LIMIT 10)
     UNION (SELECT oid FROM part WHERE relkind = 'r' AND dead > 0 ORDER BY dead DESC, oid LIMIT 10)
     UNION (SELECT oid FROM part WHERE relkind = 'r' ORDER BY relfrozenxid_age DESC, oid LIMIT 10)
), member AS MATERIALIZED (
    SELECT shown.oid AS shown, coalesce(tree.oid, shown.oid) AS oid FROM shown LEFT JOIN tree ON root = shown.oid
), pages AS MATERIALIZED (
    SELECT m.shown,
           count(*) FILTER (WHERE indrelid = m.shown) AS count,
           coalesce(bool_or(indisprimary) FILTER (WHERE indrelid = m.shown), false) AS has_primary_key,
           sum(greatest(x.relpages, 0))::bigint AS pages,
           sum(pg_stat_get_numscans(x.oid))::bigint AS idx_scan,
           max(pg_stat_get_lastscan(x.oid)) AS last_idx_scan,                             -- [pg >= 16]
-- [pg < 16]           NULL::timestamptz AS last_idx_scan,
           sum(pg_stat_get_tuples_fetched(x.oid))::bigint AS idx_tup_fetch
      FROM member m
 CROSS JOIN LATERAL (SELECT indexrelid, indrelid, indisprimary FROM pg_index WHERE indrelid = m.oid OFFSET 0) i
      JOIN pg_class x ON x.oid = indexrelid
     GROUP BY m.shown
), summed AS MATERIALIZED (
    SELECT m.shown,
           -- An array for the row that has the maximum: the number, then whose it is.
           (max(ARRAY[pg_stat_get_dead_tuples(c.oid), c.oid::bigint]) FILTER (WHERE c.relkind = 'r'))[2]::oid AS most_dead,
           (max(ARRAY[greatest(age(c.relfrozenxid), age(t.relfrozenxid)), c.oid::bigint])
               FILTER (WHERE c.relkind = 'r'))[2]::oid AS oldest,
           bool_or(held.oid IS NOT NULL) AS locked,
           bool_or(coalesce(c.reloptions::text ~* 'autovacuum_enabled=(f|of|n|0)', false)) AS unattended,
           sum(nullif(c.reltuples, -1)) FILTER (WHERE c.relkind <> 'p') AS reltuples,
           sum(greatest(c.relpages, 0))::bigint AS table_pages,
           coalesce(sum(t.relpages), 0)::bigint AS toast_pages,
           sum(pg_stat_get_live_tuples(c.oid))::bigint AS n_live_tup,
           sum(pg_stat_get_dead_tuples(c.oid))::bigint AS n_dead_tup,
           sum(pg_stat_get_mod_since_analyze(c.oid))::bigint AS n_mod_since_analyze,
           sum(pg_stat_get_ins_since_vacuum(c.oid))::bigint AS n_ins_since_vacuum,        -- [pg >= 13]
-- [pg < 13]           NULL::bigint AS n_ins_since_vacuum,
           sum(pg_stat_get_numscans(c.oid))::bigint AS seq_scan,
           max(pg_stat_get_lastscan(c.oid)) AS last_seq_scan,                             -- [pg >= 16]
-- [pg < 16]           NULL::timestamptz AS last_seq_scan,
           sum(pg_stat_get_tuples_returned(c.oid))::bigint AS seq_tup_read,
           sum(pg_stat_get_tuples_fetched(c.oid))::bigint AS tup_fetch,
           sum(pg_stat_get_tuples_inserted(c.oid))::bigint AS n_tup_ins,
           sum(pg_stat_get_tuples_updated(c.oid))::bigint AS n_tup_upd,
           sum(pg_stat_get_tuples_deleted(c.oid))::bigint AS n_tup_del,
           sum(pg_stat_get_tuples_hot_updated(c.oid))::bigint AS n_tup_hot_upd,
           sum(pg_stat_get_tuples_newpage_updated(c.oid))::bigint AS n_tup_newpage_upd,   -- [pg >= 16]
-- [pg < 16]           NULL::bigint AS n_tup_newpage_upd,
           sum(pg_stat_get_blocks_fetched(c.oid))::bigint AS blks_fetched,
           sum(pg_stat_get_blocks_hit(c.oid))::bigint AS heap_blks_hit,
           max(pg_stat_get_last_vacuum_time(c.oid)) AS last_vacuum,
           max(pg_stat_get_last_autovacuum_time(c.oid)) AS last_autovacuum,
           max(pg_stat_get_last_analyze_time(c.oid)) AS last_analyze,
           max(pg_stat_get_last_autoanalyze_time(c.oid)) AS last_autoanalyze,
           sum(pg_stat_get_vacuum_count(c.oid))::bigint AS vacuum_count,
           sum(pg_stat_get_autovacuum_count(c.oid))::bigint AS autovacuum_count,
           sum(pg_stat_get_analyze_count(c.oid))::bigint AS analyze_count,
           sum(pg_stat_get_autoanalyze_count(c.oid))::bigint AS autoanalyze_count,
           sum(pg_stat_get_total_vacuum_time(c.oid)) AS total_vacuum_time_ms,             -- [pg >= 18]
           sum(pg_stat_get_total_autovacuum_time(c.oid)) AS total_autovacuum_time_ms,     -- [pg >= 18]
           sum(pg_stat_get_total_analyze_time(c.oid)) AS total_analyze_time_ms,           -- [pg >= 18]
           sum(pg_stat_get_total_autoanalyze_time(c.oid)) AS total_autoanalyze_time_ms,   -- [pg >= 18]
-- [pg < 18]           NULL::float8 AS total_vacuum_time_ms,
-- [pg < 18]           NULL::float8 AS total_autovacuum_time_ms,
-- [pg < 18]           NULL::float8 AS total_analyze_time_ms,
-- [pg < 18]           NULL::float8 AS total_autoanalyze_time_ms,
           greatest(max(CASE WHEN c.relfrozenxid <> '0' THEN age(c.relfrozenxid) END),
                    max(CASE WHEN t.relfrozenxid <> '0' THEN age(t.relfrozenxid) END)) AS relfrozenxid_age,
           greatest(max(CASE WHEN c.relminmxid <> '0' THEN mxid_age(c.relminmxid) END),
                    max(CASE WHEN t.relminmxid <> '0' THEN mxid_age(t.relminmxid) END)) AS relminmxid_age
      FROM member m
      JOIN pg_class c ON c.oid = m.oid AND c.relkind <> 'f'
      LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
      LEFT JOIN held ON held.oid = m.oid
     GROUP BY m.shown
), leaf AS MATERIALIZED (
    SELECT root, count(*) AS count FROM tree WHERE relkind <> 'p' GROUP BY root
)
SELECT c.oid::bigint AS relid,
       n.nspname AS schemaname,
       c.relname,
       c.relkind,
       c.relpersistence,
       c.relispartition,
       c.reloptions,
       t.reloptions AS toast_reloptions,
       CASE WHEN c.relkind = 'p' THEN coalesce(leaf.count, 0) END AS partition_count,
       CASE WHEN c.relkind = 'p' THEN dead.json END AS most_dead_partition,
       CASE WHEN c.relkind = 'p' THEN old.json END AS oldest_partition,
       s.locked,
       EXISTS (SELECT FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid = c.oid AND deptype = 'e') AS is_extension_member,
       coalesce(i.has_primary_key, false) AS has_primary_key,
       -- USING INDEX takes what sorts as PRIMARY KEY would, at once, and belongs to no constraint yet.
       CASE WHEN c.relkind <> 'm' AND NOT coalesce(i.has_primary_key, false) THEN
           (SELECT json_build_object('indexrelname', x.relname, 'is_free', k.is_free,
                       'columns', (SELECT json_agg(attname ORDER BY n)
                                     FROM unnest(k.attnums) WITH ORDINALITY u (attnum, n)
                                     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = u.attnum))
              FROM (SELECT indexrelid,
                           (indkey::int2[])[0:indnkeyatts - 1] AS attnums,
                           NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('u', 'x'))
                               AND 0 = ALL (indoption::int2[])
                               AND NOT EXISTS (SELECT FROM pg_opclass WHERE oid = ANY (indclass) AND NOT opcdefault)
                               AND NOT EXISTS (SELECT FROM unnest(indkey::int2[], indcollation::oid[]) u (attnum, coll)
                                                 JOIN pg_attribute a ON attrelid = indrelid AND a.attnum = u.attnum
                                                WHERE coll <> attcollation) AS is_free
                      FROM pg_index
                     WHERE indrelid = c.oid AND indisunique AND indimmediate AND indisvalid
                       AND indpred IS NULL AND indexprs IS NULL) k
              JOIN pg_class x ON x.oid = k.indexrelid
             WHERE NOT EXISTS (SELECT FROM pg_attribute
                                WHERE attrelid = c.oid AND attnum = ANY (k.attnums) AND NOT attnotnull)
             ORDER BY NOT k.is_free, cardinality(k.attnums), x.oid
             LIMIT 1)
       END AS unique_key,
       CASE WHEN c.relkind <> 'm' AND NOT coalesce(i.has_primary_key, false) THEN
           (SELECT name
              FROM unnest('{id,row_id,row_key}'::text[]) WITH ORDINALITY u (name, n)
             WHERE NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = name)
             ORDER BY n
             LIMIT 1)
       END AS free_column,
       c.relreplident,
       NOT s.unattended AS autovacuum_enabled,
       s.reltuples,
       (s.table_pages + s.toast_pages + coalesce(i.pages, 0)) * b.size AS size_bytes,
       s.table_pages * b.size AS table_size_bytes,
       s.toast_pages * b.size AS toast_size_bytes,
       coalesce(i.pages, 0) * b.size AS indexes_size_bytes,
       coalesce(i.count, 0) AS index_count,
       s.n_live_tup,
       s.n_dead_tup,
       s.n_mod_since_analyze,
       s.n_ins_since_vacuum,
       s.seq_scan,
       s.last_seq_scan,
       s.seq_tup_read,
       coalesce(i.idx_scan, 0) AS idx_scan,
       i.last_idx_scan,
       coalesce(i.idx_tup_fetch, 0) + s.tup_fetch AS idx_tup_fetch,
       s.n_tup_ins,
       s.n_tup_upd,
       s.n_tup_del,
       s.n_tup_hot_upd,
       s.n_tup_newpage_upd,
       s.blks_fetched - s.heap_blks_hit AS heap_blks_read,
       s.heap_blks_hit,
       date_trunc('milliseconds', s.last_vacuum) AS last_vacuum,
       date_trunc('milliseconds', s.last_autovacuum) AS last_autovacuum,
       date_trunc('milliseconds', s.last_analyze) AS last_analyze,
       date_trunc('milliseconds', s.last_autoanalyze) AS last_autoanalyze,
       s.vacuum_count,
       s.autovacuum_count,
       s.analyze_count,
       s.autoanalyze_count,
       s.total_vacuum_time_ms,
       s.total_autovacuum_time_ms,
       s.total_analyze_time_ms,
       s.total_autoanalyze_time_ms,
       s.relfrozenxid_age,
       s.relminmxid_age
  FROM summed s
  JOIN pg_class c ON c.oid = s.shown
  JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
  LEFT JOIN pages i ON i.shown = s.shown
  LEFT JOIN leaf ON leaf.root = s.shown
 CROSS JOIN (SELECT current_setting('block_size')::bigint) b (size)
-- OFFSET 0: looked up for the few that are shown, not joined with what was made of every relation.
  LEFT JOIN LATERAL (
       SELECT json_build_object(
                  'relid', p.oid::bigint, 'schemaname', pn.nspname, 'relname', p.relname,
                  'n_live_tup', pg_stat_get_live_tuples(p.oid), 'n_dead_tup', pg_stat_get_dead_tuples(p.oid),
                  'last_autovacuum', pg_stat_get_last_autovacuum_time(p.oid),
                  'relfrozenxid_age', greatest(age(p.relfrozenxid), age(t.relfrozenxid))) AS json
         FROM pg_class p
         LEFT JOIN pg_class t ON t.oid = p.reltoastrelid
         JOIN pg_namespace pn ON pn.oid = p.relnamespace
        WHERE p.oid = s.most_dead OFFSET 0) dead ON true
  LEFT JOIN LATERAL (
       SELECT json_build_object(
                  'relid', p.oid::bigint, 'schemaname', pn.nspname, 'relname', p.relname,
                  'n_live_tup', pg_stat_get_live_tuples(p.oid), 'n_dead_tup', pg_stat_get_dead_tuples(p.oid),
                  'last_autovacuum', pg_stat_get_last_autovacuum_time(p.oid),
                  'relfrozenxid_age', greatest(age(p.relfrozenxid), age(t.relfrozenxid))) AS json
         FROM pg_class p
         LEFT JOIN pg_class t ON t.oid = p.reltoastrelid
         JOIN pg_namespace pn ON pn.oid = p.relnamespace
        WHERE p.oid = s.oldest OFFSET 0) old ON true
 ORDER BY size_bytes DESC, relid
