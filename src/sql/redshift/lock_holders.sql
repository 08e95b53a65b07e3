-- Which of these processes still hold an exclusive lock of a table, or wait for one.
SELECT DISTINCT pid
FROM svv_transactions
WHERE pid IN ($1) AND lock_mode = 'AccessExclusiveLock';
