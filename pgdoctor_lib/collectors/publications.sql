-- source: pg_publication, pg_publication_rel, pg_publication_namespace (postgresql.org/docs/current/catalog-pg-publication.html)
-- scope: database
-- cadence: minutes
-- rows: many, 100 by without_identity_count
-- needs: nothing
-- about: What this database publishes for logical replication (pg_publication, pg_publication_rel). `rows`: 100 publications, those first that have tables whose UPDATE and DELETE fail.
--
-- | `pubid`, `pubname`, `owner` | the publication |
-- | `puballtables`, `pubviaroot` (13+), `pubgencols` (18+) | whether it is of all tables; whether a partition's changes go out as its root's; `s`: stored generated columns too |
-- | `pubinsert`, `pubupdate`, `pubdelete`, `pubtruncate` | what is published |
-- | `schema_count` | 15+: schemas it takes as a whole |
-- | `row_filter_count`, `column_list_count` | 15+: tables of which only some rows, or columns, are published |
-- | `table_count` | ordinary tables whose changes it publishes, each partition counted |
-- | `without_identity_count`, `without_identity` | tables without a primary key or another replica identity, where the publication has UPDATE or DELETE: those fail on them. Of the first ten, `schemaname` and `relname` |
--
-- From the catalogs, since pg_publication_tables asks a function for each publication and each table.
WITH RECURSIVE member (pubid, relid) AS (
    SELECT prpubid, prrelid FROM pg_publication_rel
    UNION                                                                                 -- [pg >= 15]
    SELECT pnpubid, c.oid FROM pg_publication_namespace JOIN pg_class c ON relnamespace = pnnspid AND relkind IN ('r', 'p')  -- [pg >= 15]
), tree (pubid, relid) AS (
    SELECT pubid, relid FROM member
    UNION
    SELECT pubid, inhrelid
      FROM tree
      JOIN pg_inherits ON inhparent = relid
      JOIN pg_class c ON c.oid = inhrelid AND c.relispartition
), relation AS MATERIALIZED (
    SELECT c.oid, c.relreplident = 'f' OR x.indexrelid IS NOT NULL AS has_identity
      FROM pg_class c
      LEFT JOIN pg_index x ON x.indrelid = c.oid
                          AND (c.relreplident = 'd' AND x.indisprimary OR c.relreplident = 'i' AND x.indisreplident)
     WHERE c.relkind = 'r'
       AND c.relpersistence = 'p'
       AND c.oid >= 16384
), every AS MATERIALIZED (
    SELECT count(*) AS tables, array_agg(oid) FILTER (WHERE NOT has_identity) AS without_identity FROM relation
), named AS MATERIALIZED (
    SELECT pubid, count(*) AS tables, array_agg(oid) FILTER (WHERE NOT has_identity) AS without_identity
      FROM tree
      JOIN relation ON oid = relid
     GROUP BY pubid
), publication AS MATERIALIZED (
    SELECT p.*,
           CASE WHEN puballtables THEN (SELECT tables FROM every)
                ELSE (SELECT tables FROM named WHERE pubid = p.oid) END AS tables,
           CASE WHEN NOT pubupdate AND NOT pubdelete THEN NULL
                WHEN puballtables THEN (SELECT without_identity FROM every)
                ELSE (SELECT without_identity FROM named WHERE pubid = p.oid) END AS without_identity
      FROM pg_publication p
)
SELECT p.oid::bigint AS pubid,
       p.pubname,
       pg_get_userbyid(p.pubowner) AS owner,
       p.puballtables,
       p.pubviaroot,                                                                      -- [pg >= 13]
-- [pg < 13]       NULL::boolean AS pubviaroot,
       p.pubgencols::text,                                                                -- [pg >= 18]
-- [pg < 18]       NULL AS pubgencols,
       p.pubinsert,
       p.pubupdate,
       p.pubdelete,
       p.pubtruncate,
       (SELECT count(*) FROM pg_publication_namespace WHERE pnpubid = p.oid) AS schema_count,  -- [pg >= 15]
       (SELECT count(prqual) FROM pg_publication_rel WHERE prpubid = p.oid) AS row_filter_count,  -- [pg >= 15]
       (SELECT count(prattrs) FROM pg_publication_rel WHERE prpubid = p.oid) AS column_list_count,  -- [pg >= 15]
-- [pg < 15]       NULL::bigint AS schema_count,
-- [pg < 15]       NULL::bigint AS row_filter_count,
-- [pg < 15]       NULL::bigint AS column_list_count,
       coalesce(p.tables, 0) AS table_count,
       coalesce(cardinality(p.without_identity), 0) AS without_identity_count,
       (SELECT json_agg(t) FROM (
               SELECT nspname AS schemaname, relname
                 FROM pg_class c
                 JOIN pg_namespace n ON n.oid = relnamespace
                WHERE c.oid = ANY (p.without_identity)
                ORDER BY nspname, relname
                LIMIT 10) t) AS without_identity
  FROM publication p
 ORDER BY without_identity_count DESC, p.pubname
 LIMIT 100
