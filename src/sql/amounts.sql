-- What became of the records of the run $1, by the books of its objects.
SELECT coalesce(sum(records), 0)::BIGINT,
       coalesce(sum(taken), 0)::BIGINT,
       coalesce(sum(filtered), 0)::BIGINT,
       coalesce(sum(rejected), 0)::BIGINT,
       coalesce(sum(staged), 0)::BIGINT
FROM load_objects
WHERE run = $1;
