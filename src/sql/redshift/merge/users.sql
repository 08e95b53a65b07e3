-- The touched users as they are now: each as the latest event tells; what is missing counts as earliest.
CREATE TEMP TABLE fresh_users AS
SELECT event.user_id, event.first_name, event.last_name, event.gender, event.level
FROM (
    SELECT event.object_id, event.record_no,
           row_number() OVER (
               PARTITION BY event.user_id
               ORDER BY event.ts DESC NULLS LAST,
                        event.session_id DESC NULLS LAST,
                        event.item_in_session DESC NULLS LAST,
                        places.place DESC,
                        event.record_no DESC
           ) AS nth
    FROM touched_users
    JOIN staging_events AS event ON event.user_id = touched_users.user_id
    JOIN places ON places.object_id = event.object_id
) AS events
JOIN staging_events AS event ON event.object_id = events.object_id AND event.record_no = events.record_no
WHERE events.nth = 1;
