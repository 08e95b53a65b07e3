-- All users of the staged events: each as the latest event tells; what is missing counts as earliest. Only the events
-- of a user's latest moment are sorted: those are few.
INSERT INTO users (user_id, first_name, last_name, gender, level)
SELECT DISTINCT ON (user_id) user_id, first_name, last_name, gender, level
FROM (SELECT user_id, max(ts) AS latest FROM staging_events GROUP BY user_id) AS moments
JOIN staging_events USING (user_id)
JOIN load_objects USING (object_id)
WHERE ts = latest OR latest IS NULL
ORDER BY user_id,
         session_id DESC NULLS LAST,
         item_in_session DESC NULLS LAST,
         object COLLATE "C" DESC,
         record_no DESC;
