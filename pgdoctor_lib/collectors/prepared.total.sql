-- source: pg_prepared_xacts
-- scope: server
-- rows: one
-- needs: nothing
--
-- | `count`, `max_prepared_transactions` | how many there are, and may be |
-- | `oldest_age_s`, `oldest_xid_age` | the greatest `age_s` and `xid_age` |
SELECT count(*) AS count,
       current_setting('max_prepared_transactions')::int AS max_prepared_transactions,
       round(extract(epoch FROM clock_timestamp() - min(prepared))::numeric, 3) AS oldest_age_s,
       max(age(transaction)) AS oldest_xid_age
  FROM pg_prepared_xacts
