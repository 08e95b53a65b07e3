-- What of the files of a load COPY could not take, on a provisioned cluster: file, line, column, reason.
SELECT filename, line_number, colname, err_reason
FROM stl_load_errors
WHERE filename LIKE $1
ORDER BY starttime DESC
LIMIT 1;
