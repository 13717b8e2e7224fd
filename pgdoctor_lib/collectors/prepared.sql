-- source: pg_prepared_xacts (postgresql.org/docs/current/view-pg-prepared-xacts.html)
-- scope: server
-- rows: many, the 50 oldest
-- needs: nothing
-- about: Transactions prepared for two-phase commit, of all databases, the oldest first. Each holds its locks, and keeps VACUUM from cleaning, until somebody ends it in its own database. A standby shows none.
--
-- | `gid` | its name, for COMMIT PREPARED and ROLLBACK PREPARED; `null` where its database has another encoding |
-- | `owner`, `datname` | who prepared it (the view's own column for the other is `database`), and where |
-- | `transaction`, `xid_age` | its number, and how many transactions have begun since |
-- | `prepared`, `age_s` | since when |
SELECT CASE WHEN d.encoding = e.encoding THEN x.gid END AS gid,
       x.owner,
       x.database AS datname,
       x.transaction::text AS transaction,
       age(x.transaction) AS xid_age,
       x.prepared,
       round(extract(epoch FROM clock_timestamp() - x.prepared)::numeric, 3) AS age_s
  FROM pg_prepared_xacts x
  LEFT JOIN pg_database d ON d.datname = x.database
  JOIN pg_database e ON e.datname = current_database()
 ORDER BY x.prepared, x.transaction::text
 LIMIT 50
