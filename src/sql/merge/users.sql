-- The touched users as they are now: each as the latest event tells; what is missing counts as earliest.
CREATE TEMP TABLE fresh_users ON COMMIT DROP AS
SELECT latest.*
FROM touched_users
CROSS JOIN LATERAL (
    SELECT user_id, first_name, last_name, gender, level
    FROM staging_events
    JOIN load_objects USING (object_id)
    WHERE user_id = touched_users.user_id
      AND replaced_by IS NULL
    ORDER BY ts DESC NULLS LAST,
             session_id DESC NULLS LAST,
             item_in_session DESC NULLS LAST,
             object COLLATE "C" DESC,
             record_no DESC
    LIMIT 1
) AS latest;
ANALYZE fresh_users;
