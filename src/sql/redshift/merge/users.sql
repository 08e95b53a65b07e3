-- The touched users as they are now: each as the latest event tells; what is missing counts as earliest.
CREATE TEMP TABLE fresh_users AS
SELECT user_id, first_name, last_name, gender, level
FROM (
    SELECT event.user_id, event.first_name, event.last_name, event.gender, event.level,
           row_number() OVER (
               PARTITION BY event.user_id
               ORDER BY event.ts DESC NULLS LAST,
                        event.session_id DESC NULLS LAST,
                        event.item_in_session DESC NULLS LAST,
                        place.object || chr(1) DESC,
                        event.record_no DESC
           ) AS nth
    FROM touched_users
    JOIN staging_events AS event ON event.user_id = touched_users.user_id
    JOIN load_objects AS place ON place.object_id = event.object_id AND place.replaced_by IS NULL
) AS events
WHERE nth = 1;
