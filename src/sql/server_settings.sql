-- What makes one server faster or slower than another of its kind.
SELECT name, current_setting(name)
FROM pg_settings
WHERE name IN ('server_version', 'data_checksums', 'fsync', 'full_page_writes', 'maintenance_work_mem',
               'max_parallel_maintenance_workers', 'max_wal_size', 'shared_buffers', 'ssl', 'synchronous_commit',
               'wal_compression', 'wal_level')
ORDER BY name;
