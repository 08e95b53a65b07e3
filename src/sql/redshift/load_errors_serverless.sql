-- What of the files of a load COPY could not take, on Redshift Serverless: file, line, column, reason.
SELECT file_name, line_number, column_name, error_message
FROM sys_load_error_detail
WHERE file_name LIKE $1
ORDER BY start_time DESC
LIMIT 1;
