-- What product-service must still be told of reservations becomes an event: that an order was confirmed or cancelled. What
-- was only to be kept is kept by the first of these that comes. The table stays for instances of the release before.
INSERT INTO outbox (event_id, type, envelope, relay, created_at)
SELECT event_id, type,
       '{"specversion":"1.0","id":"' || event_id || '","source":"/order-service","type":"' || type || '","subject":"' || id
           || '","time":"2026-11-29T12:00:00.000000Z","datacontenttype":"application/json","dataschema":'
           || '"urn:orders-platform:events:order-service:0.1.0","data":{"order_id":' || id || ',"user_id":' || user_id
           || reason || ',"reservation_id":"' || reservation_id || '"}}',
       0, next_at
FROM (
    SELECT orders.id, orders.user_id, orders.reservation_id, next_at,
           CASE wanted WHEN 'released' THEN 'order.cancelled' ELSE 'order.confirmed' END AS type,
           CASE wanted WHEN 'released' THEN ',"reason":"' || COALESCE(cancellation_reason, 'requested') || '"' ELSE '' END
               AS reason,
           '01930000-0000-7000-8000-' || right('000000000000' || orders.id, 12) AS event_id -- postgres
           '01930000-0000-7000-8000-' || substr('000000000000' || orders.id, -12) AS event_id -- sqlite
    FROM reservation_tasks JOIN orders ON orders.id = order_id
    WHERE wanted IN ('committed', 'released')
) AS told;

DELETE FROM reservation_tasks;
