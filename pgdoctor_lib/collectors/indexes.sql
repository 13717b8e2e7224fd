-- source: pg_index, pg_stat_all_indexes, pg_statio_all_indexes (postgresql.org/docs/current/monitoring-stats.html#MONITORING-PG-STAT-ALL-INDEXES-VIEW)
-- scope: database
-- cadence: minutes
-- rows: many, 50 each by size, tuples read, size of those never scanned, those invalid, size of duplicates and size of redundant ones, 10 of leaf partitions each by size and invalid
-- needs: nothing
-- counters: idx_scan, idx_tup_read, idx_tup_fetch, idx_blks_read, idx_blks_hit
-- about: Indexes of ordinary tables: no system, TOAST or temporary ones. A partitioned index is one row that sums up its partitions; 10 of these by size, and 10 invalid ones, have rows of their own besides. `rows`: 50 each by size, by entries read, by size among those never scanned, of the invalid ones, of the duplicates and of the redundant ones.
--
-- | `indexrelid`, `relid`, `schemaname`, `relname`, `indexrelname` | the index and its table |
-- | `relkind`, `amname` | `i`, or `I` for a partitioned one; its access method |
-- | `partition_count` | of a partitioned index: leaves, on whatever level; sizes and counters are their sum |
-- | `size_bytes`, `reltuples` | as of the last VACUUM or ANALYZE: see `tables` |
-- | `idx_scan`, `last_idx_scan` (16+), `idx_tup_read`, `idx_tup_fetch` | scans, the last one, entries read, rows fetched |
-- | `unused_since` | the last scan (16+), or where there was none since the statistics were reset, that time; else `null` |
-- | `idx_blks_read`, `idx_blks_hit` | blocks, as in `database` |
-- | `indisvalid`, `indisready`, `indislive` | `false` while being built or dropped, or after that failed; a partitioned one is not valid until each partition has its own |
-- | `is_building` | whether a session is building it |
-- | `indisunique`, `indnullsnotdistinct` (15+), `indisprimary`, `indisexclusion`, `indisclustered`, `indisreplident` | what it is for |
-- | `is_partial`, `has_expressions`, `backs_constraint`, `supports_foreign_key`, `is_partition`, `is_extension_member` | whether it has a WHERE, expressions, a constraint needs it, its first columns are those of a foreign key of its table, it is part of a partitioned one, an extension made it |
-- | `columns` | its columns' names; an expression's is made up by PostgreSQL |
-- | `duplicate_of` | the valid index of the same table that has the same access method, columns, operator classes, collations, directions, expressions and condition, and is the one to keep: it backs a constraint, say, is unique, or the older of the two |
-- | `redundant_to` | the valid B-tree index of the same table and condition that begins with all columns of this one, which is neither unique nor needed by a constraint |
-- | `locked` | whether somebody holds or awaits ACCESS EXCLUSIVE on it or its table |
-- | `definition` | CREATE INDEX, its first 500 characters; `null` where it is `locked`: reading it would wait |
--
-- Statistics come from pg_stat_get_*() and sizes from relpages, for the reasons given in tables.sql. pg_get_indexdef()
-- opens the table. Expressions are compared as node trees without the places in the statement that they came from.
-- A catalog that no ANALYZE has seen has the statistics of an empty database, by which next to nothing is above oid 16384:
-- what is then joined row by row takes the square of the time. Hence CASE, of which half is expected, and IN … IS TRUE, which
-- is looked up in a hash table whatever is expected. indexes.total.sql begins with the same CTEs, computed once for both.
WITH tree AS MATERIALIZED (
    WITH RECURSIVE walk (root, oid, relkind) AS (
        SELECT oid, oid, relkind
          FROM pg_partitioned_table
          JOIN pg_index ON indrelid = partrelid
          JOIN pg_class ON oid = indexrelid
         WHERE NOT relispartition
        UNION ALL
        SELECT walk.root, c.oid, c.relkind
          FROM walk
          JOIN pg_inherits ON inhparent = walk.oid
          JOIN pg_class c ON c.oid = inhrelid
         WHERE walk.relkind = 'I'
    )
    SELECT * FROM walk
), relation AS MATERIALIZED (
    SELECT c.oid,
           i.indrelid,
           c.relkind,
           c.relam,
           tree.root,
           c.relispartition,
           greatest(c.relpages, 0) AS pages,
           pg_stat_get_numscans(c.oid) AS scans,
           pg_stat_get_tuples_returned(c.oid) AS reads,
           i.indisvalid,
           ((i.indrelid, i.indkey[0]) IN (SELECT indrelid, indkey[0] FROM pg_index WHERE indislive GROUP BY 1, 2 HAVING count(*) > 1)) IS TRUE
           AND i.indislive AS has_rival
      FROM pg_class c
      JOIN pg_index i ON i.indexrelid = c.oid
      LEFT JOIN tree ON tree.oid = c.oid
     WHERE CASE WHEN c.oid >= 16384 AND c.relkind IN ('i', 'I') AND c.relpersistence <> 't'
                THEN c.relnamespace <> 'pg_toast'::regnamespace END
), plain AS MATERIALIZED (
    SELECT i.*,
           r.relam,
           r.relispartition,
           (indkey::int2[])[0:indnkeyatts - 1] AS keys,
           (indclass::oid[])[0:indnkeyatts - 1] AS classes,
           (indcollation::oid[])[0:indnkeyatts - 1] AS collations,
           (indoption::int2[])[0:indnkeyatts - 1] AS options,
           -- '{1,2}' where an index has some columns besides its key, '{}' where it has none
           (indkey::int2[])[indnkeyatts:indnatts - 1] AS included,
           coalesce(regexp_replace(indexprs::text, ' :location -?[0-9]+', '', 'g'), '()') AS expressions,
           coalesce(regexp_replace(indpred::text, ' :location -?[0-9]+', '', 'g'), '') AS condition,
           indisprimary OR indisexclusion OR indisreplident
           OR k.conindid IS NOT NULL AS backs_constraint
      FROM relation r
      JOIN pg_index i ON i.indexrelid = r.oid
      LEFT JOIN (SELECT DISTINCT conindid FROM pg_constraint) k ON k.conindid = r.oid
     WHERE r.has_rival
), duplicate AS MATERIALIZED (
    SELECT DISTINCT ON (a.indexrelid) a.indexrelid AS oid, b.indexrelid AS other
      FROM plain a
      JOIN plain b ON b.indrelid = a.indrelid
                  AND b.indkey[0] = a.indkey[0]
                  AND b.indexrelid <> a.indexrelid
     WHERE NOT a.relispartition
       AND b.indisvalid
       AND (a.relam, a.keys, a.classes, a.collations, a.options, a.included, a.expressions, a.condition)
         = (b.relam, b.keys, b.classes, b.collations, b.options, b.included, b.expressions, b.condition)
       AND a.indnullsnotdistinct = b.indnullsnotdistinct                                  -- [pg >= 15]
       AND (NOT a.indisunique OR b.indisunique)
       AND (NOT a.indimmediate OR b.indimmediate)
       AND (NOT a.indisexclusion OR b.indisexclusion)
       AND (b.indisprimary, b.backs_constraint, b.relispartition, b.indisunique, a.indexrelid)
         > (a.indisprimary, a.backs_constraint, a.relispartition, a.indisunique, b.indexrelid)
     ORDER BY a.indexrelid, b.indisprimary DESC, b.backs_constraint DESC, b.relispartition DESC, b.indisunique DESC, b.indexrelid
), redundant AS MATERIALIZED (
    SELECT DISTINCT ON (a.indexrelid) a.indexrelid AS oid, b.indexrelid AS other
      FROM plain a
      JOIN plain b ON b.indrelid = a.indrelid
                  AND b.indkey[0] = a.indkey[0]
                  AND b.indnkeyatts > a.indnkeyatts
     WHERE NOT a.relispartition
       AND NOT a.indisunique
       AND NOT a.backs_constraint
       AND b.indisvalid
       AND a.relam = b.relam
       AND a.relam = (SELECT oid FROM pg_am WHERE amname = 'btree')
       AND (a.keys, a.classes, a.collations, a.options, a.condition)
         = (b.keys[1:a.indnkeyatts], b.classes[1:a.indnkeyatts], b.collations[1:a.indnkeyatts],
            b.options[1:a.indnkeyatts], b.condition)
       AND starts_with(b.expressions, left(a.expressions, -1))
       AND a.included <@ b.indkey::int2[]
     ORDER BY a.indexrelid, b.indnkeyatts, b.indexrelid
), folded AS MATERIALIZED (
    SELECT oid, pages, scans, reads, indisvalid FROM relation WHERE root IS NULL
     UNION ALL
    SELECT root, sum(pages), sum(scans)::bigint, sum(reads)::bigint, bool_and(indisvalid) FILTER (WHERE oid = root)
      FROM relation
     WHERE root IS NOT NULL
     GROUP BY root
), shown AS MATERIALIZED (
    (SELECT oid FROM folded ORDER BY pages DESC, oid LIMIT 50)
     UNION (SELECT oid FROM folded WHERE reads > 0 ORDER BY reads DESC, oid LIMIT 50)
     UNION (SELECT oid FROM folded WHERE scans = 0 ORDER BY pages DESC, oid LIMIT 50)
     UNION (SELECT oid FROM folded WHERE NOT indisvalid ORDER BY pages DESC, oid LIMIT 50)
     UNION (SELECT oid FROM folded WHERE (oid IN (SELECT oid FROM duplicate)) IS TRUE ORDER BY pages DESC, oid LIMIT 50)
     UNION (SELECT oid FROM folded WHERE (oid IN (SELECT oid FROM redundant)) IS TRUE ORDER BY pages DESC, oid LIMIT 50)
     UNION (SELECT oid FROM relation WHERE root <> oid AND relkind = 'i' ORDER BY pages DESC, oid LIMIT 10)
     UNION (SELECT oid FROM relation WHERE root <> oid AND NOT indisvalid ORDER BY pages DESC, oid LIMIT 10)
), summed AS MATERIALIZED (
    SELECT s.oid AS shown,
           count(*) FILTER (WHERE tree.relkind = 'i') AS partition_count,
           sum(greatest(c.relpages, 0))::bigint AS pages,
           sum(nullif(c.reltuples, -1)) FILTER (WHERE c.relkind = 'i') AS reltuples,
           sum(pg_stat_get_numscans(c.oid))::bigint AS idx_scan,
           max(pg_stat_get_lastscan(c.oid)) AS last_idx_scan,                             -- [pg >= 16]
-- [pg < 16]           NULL::timestamptz AS last_idx_scan,
           sum(pg_stat_get_tuples_returned(c.oid))::bigint AS idx_tup_read,
           sum(pg_stat_get_tuples_fetched(c.oid))::bigint AS idx_tup_fetch,
           sum(pg_stat_get_blocks_fetched(c.oid))::bigint AS idx_blks_fetched,
           sum(pg_stat_get_blocks_hit(c.oid))::bigint AS idx_blks_hit
      FROM shown s
      LEFT JOIN tree ON root = s.oid
      JOIN pg_class c ON c.oid = coalesce(tree.oid, s.oid)
     GROUP BY s.oid
), held AS MATERIALIZED (
    SELECT DISTINCT relation AS oid
      FROM pg_locks
     WHERE locktype = 'relation'
       AND mode = 'AccessExclusiveLock'
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT x.oid::bigint AS indexrelid,
       indrelid::bigint AS relid,
       n.nspname AS schemaname,
       c.relname,
       x.relname AS indexrelname,
       x.relkind,
       am.amname,
       CASE WHEN x.relkind = 'I' THEN s.partition_count END AS partition_count,
       s.pages * current_setting('block_size')::bigint AS size_bytes,
       s.reltuples,
       s.idx_scan,
       s.last_idx_scan,
       coalesce(s.last_idx_scan, CASE WHEN s.idx_scan = 0 THEN reset.since END) AS unused_since,
       s.idx_tup_read,
       s.idx_tup_fetch,
       s.idx_blks_fetched - s.idx_blks_hit AS idx_blks_read,
       s.idx_blks_hit,
       indisvalid,
       indisready,
       indislive,
       EXISTS (SELECT FROM pg_stat_progress_create_index WHERE index_relid = x.oid) AS is_building,
       indisunique,
       indnullsnotdistinct,                                                               -- [pg >= 15]
-- [pg < 15]       NULL::boolean AS indnullsnotdistinct,
       indisprimary,
       indisexclusion,
       indisclustered,
       indisreplident,
       indpred IS NOT NULL AS is_partial,
       indexprs IS NOT NULL AS has_expressions,
       EXISTS (SELECT FROM pg_constraint WHERE conindid = x.oid AND conrelid = indrelid) AS backs_constraint,
       EXISTS (SELECT FROM pg_constraint
                WHERE contype = 'f'
                  AND conrelid = indrelid
                  AND cardinality(conkey) <= indnkeyatts
                  AND conkey <@ (indkey::int2[])[0:cardinality(conkey) - 1]) AS supports_foreign_key,
       x.relispartition AS is_partition,
       EXISTS (SELECT FROM pg_depend
                WHERE classid = 'pg_class'::regclass AND objid IN (x.oid, indrelid) AND deptype = 'e') AS is_extension_member,
       (SELECT json_agg(attname ORDER BY attnum) FROM pg_attribute WHERE attrelid = x.oid) AS columns,
       (SELECT relname FROM pg_class WHERE oid = d.other) AS duplicate_of,
       (SELECT relname FROM pg_class WHERE oid = r.other) AS redundant_to,
       held.oid IS NOT NULL AS locked,
       CASE WHEN held.oid IS NULL THEN left(pg_get_indexdef(x.oid), 500) END AS definition
  FROM summed s
  JOIN pg_index ON indexrelid = s.shown
  JOIN pg_class x ON x.oid = indexrelid
  JOIN pg_class c ON c.oid = indrelid
  JOIN pg_namespace n ON n.oid = x.relnamespace
  JOIN pg_am am ON am.oid = x.relam
  LEFT JOIN duplicate d ON d.oid = x.oid
  LEFT JOIN redundant r ON r.oid = x.oid
  LEFT JOIN LATERAL (SELECT oid FROM held WHERE held.oid IN (indrelid, x.oid) LIMIT 1) held ON true
 CROSS JOIN (
       SELECT greatest(pg_stat_get_db_stat_reset_time(d.oid), a.stats_reset) AS since
         FROM pg_database d, pg_stat_archiver a
        WHERE datname = current_database()) reset
 ORDER BY size_bytes DESC, x.oid
