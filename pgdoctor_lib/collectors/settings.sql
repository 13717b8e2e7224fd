-- source: pg_settings (postgresql.org/docs/current/view-pg-settings.html)
-- scope: server
-- cadence: minutes
-- rows: many, every changed one, and some that are always told: no more than there are
-- needs: pg_monitor, else the settings that only superusers may see are missing
-- about: What is not as PostgreSQL comes: every setting that a file, a command line, ALTER SYSTEM, ALTER DATABASE or ALTER ROLE changed, as an ordinary session of this role gets it; and, whatever their value, those that a diagnosis reads: of durability, memory, WAL, autovacuum, logging, timeouts and statistics. By name.
--
-- | `name`, `setting`, `unit`, `vartype`, `context` | the setting; passwords and what looks like them, and commands of the shell, are `***`; 1,000 characters at most |
-- | `boot_val` | what it is where nothing sets it; `null` where `setting` is just that |
-- | `source`, `sourcefile`, `sourceline` | where the value comes from: `default` for one that nobody changed; `source` is `null` where PGDoctor's own session hides it. The file is told to members of pg_read_all_settings only |
-- | `pending_restart` | a new value waits for a restart |
--
-- reset_val, not setting: PGDoctor's own session limits are set for its transaction, and hide what others get.
-- Whatever looks like a secret in a value is masked, and the whole value where the name says that it is one, or a command
-- of the shell, whose secrets have any form. archive_command's own words for "none" are told.
SELECT name,
       CASE WHEN name ~* '(password|passphrase|secret|token|credential|api_?key|_command$)' AND vartype = 'string' AND reset_val NOT IN ('', '(disabled)')
            THEN '***'
            ELSE left(regexp_replace(
                          regexp_replace(reset_val, '://[^/@[:space:]]*:[^@[:space:]]*@', '://***@', 'g'),
                          '([a-z_-]*(?:pass|pwd|secret|token|key)[a-z_-]*(?: *[=:] *|[[:space:]]+))(?:''.*''|"[^"]*"|[^[:space:]]+)',
                          E'\\1***', 'gi'), 1000)
        END AS setting,
       CASE WHEN boot_val IS DISTINCT FROM reset_val THEN left(boot_val, 1000) END AS boot_val,
       unit,
       vartype,
       context,
       CASE WHEN source <> 'session' THEN source END AS source,
       sourcefile,
       sourceline,
       pending_restart
  FROM pg_settings
 WHERE source NOT IN ('default', 'override', 'client', 'session')
    OR source = 'session' AND reset_val IS DISTINCT FROM boot_val
    OR pending_restart
    OR name IN ('archive_command', 'archive_library', 'archive_mode', 'archive_timeout',
                'autovacuum', 'autovacuum_analyze_scale_factor', 'autovacuum_analyze_threshold', 'autovacuum_freeze_max_age',
                'autovacuum_max_workers', 'autovacuum_multixact_freeze_max_age', 'autovacuum_naptime',
                'autovacuum_vacuum_cost_delay', 'autovacuum_vacuum_cost_limit', 'autovacuum_vacuum_insert_scale_factor',
                'autovacuum_vacuum_insert_threshold', 'autovacuum_vacuum_max_threshold', 'autovacuum_vacuum_scale_factor',
                'autovacuum_vacuum_threshold', 'autovacuum_work_mem', 'autovacuum_worker_slots',
                'checkpoint_completion_target', 'checkpoint_timeout', 'checkpoint_warning', 'compute_query_id',
                'data_checksums', 'deadlock_timeout', 'default_statistics_target', 'effective_cache_size',
                'effective_io_concurrency', 'fsync', 'full_page_writes', 'hash_mem_multiplier', 'hot_standby_feedback',
                'huge_pages', 'idle_in_transaction_session_timeout', 'idle_replication_slot_timeout', 'idle_session_timeout',
                'ignore_checksum_failure', 'io_method', 'jit', 'listen_addresses', 'log_autovacuum_min_duration',
                'log_checkpoints', 'log_lock_waits', 'log_min_duration_statement', 'log_temp_files', 'logging_collector',
                'maintenance_work_mem', 'max_connections', 'max_locks_per_transaction', 'max_logical_replication_workers',
                'max_parallel_workers', 'max_parallel_workers_per_gather', 'max_prepared_transactions',
                'max_replication_slots', 'max_slot_wal_keep_size', 'max_standby_archive_delay', 'max_standby_streaming_delay',
                'max_wal_senders', 'max_wal_size', 'max_worker_processes', 'min_wal_size', 'password_encryption',
                'pg_stat_statements.max', 'pg_stat_statements.save', 'pg_stat_statements.track', 'random_page_cost',
                'recovery_min_apply_delay', 'reserved_connections', 'restart_after_crash', 'seq_page_cost', 'shared_buffers',
                'shared_preload_libraries', 'ssl', 'statement_timeout', 'superuser_reserved_connections',
                'synchronous_commit', 'synchronous_standby_names', 'track_activities', 'track_activity_query_size',
                'track_commit_timestamp', 'track_cost_delay_timing', 'track_counts', 'track_functions', 'track_io_timing',
                'track_wal_io_timing', 'transaction_timeout', 'vacuum_cost_delay', 'vacuum_cost_limit', 'vacuum_failsafe_age',
                'vacuum_multixact_failsafe_age', 'wal_compression', 'wal_keep_segments', 'wal_keep_size', 'wal_level',
                'work_mem', 'zero_damaged_pages')
 ORDER BY name
