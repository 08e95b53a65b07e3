-- What the last COPY of this session could not take, on a provisioned cluster: file, line, column, reason.
SELECT filename, line_number, colname, err_reason
FROM stl_load_errors
WHERE session = pg_backend_pid()
ORDER BY starttime DESC
LIMIT 1;
