-- What the last COPY of this session could not take, on Redshift Serverless: file, line, column, reason.
SELECT file_name, line_number, column_name, error_message
FROM sys_load_error_detail
WHERE session_id = pg_backend_pid()
ORDER BY start_time DESC
LIMIT 1;
