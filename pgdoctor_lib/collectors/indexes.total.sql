-- source: pg_index, pg_stat_all_indexes
-- scope: database
-- cadence: minutes
-- rows: one
-- needs: nothing
-- counters: idx_scan
-- about: Over all indexes, leaf partitions' among them.
--
-- | `count`, `size_bytes`, `idx_scan` | sums |
-- | `duplicate_count`, `duplicate_size_bytes` | those with a `duplicate_of`, as of the last VACUUM or ANALYZE; leaf partitions' only where they have no parent |
-- | `redundant_count`, `redundant_size_bytes` | those with a `redundant_to`, in the same way |
-- | `invalid_count`, `unused_count`, `unused_size_bytes` | those not valid; those not scanned since the statistics were reset, and their size |
-- | `locked_count` | those `locked`, whose definition is not read |
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
), held AS MATERIALIZED (
    SELECT DISTINCT relation AS oid
      FROM pg_locks
     WHERE locktype = 'relation'
       AND mode = 'AccessExclusiveLock'
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
)
SELECT count(*) AS count,
       coalesce(sum(pages), 0)::bigint * current_setting('block_size')::bigint AS size_bytes,
       coalesce(sum(scans), 0)::bigint AS idx_scan,
       count(*) FILTER (WHERE NOT indisvalid) AS invalid_count,
       count(*) FILTER (WHERE scans = 0) AS unused_count,
       coalesce(sum(pages) FILTER (WHERE scans = 0), 0)::bigint * current_setting('block_size')::bigint AS unused_size_bytes,
       count(*) FILTER (WHERE is_duplicate) AS duplicate_count,
       coalesce(sum(pages) FILTER (WHERE is_duplicate), 0)::bigint * current_setting('block_size')::bigint AS duplicate_size_bytes,
       count(*) FILTER (WHERE is_redundant) AS redundant_count,
       coalesce(sum(pages) FILTER (WHERE is_redundant), 0)::bigint * current_setting('block_size')::bigint AS redundant_size_bytes,
       count(*) FILTER (WHERE is_locked) AS locked_count
  FROM (SELECT *,
               (oid IN (SELECT oid FROM duplicate)) IS TRUE AS is_duplicate,
               (oid IN (SELECT oid FROM redundant)) IS TRUE AS is_redundant,
               (oid IN (SELECT oid FROM held)) IS TRUE OR (indrelid IN (SELECT oid FROM held)) IS TRUE AS is_locked
          FROM relation) r
