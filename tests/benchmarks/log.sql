-- A log of streams of a hundred rows each. Their hashes are not true: nobody replays it.
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < :events)
INSERT INTO outbox (connection_id, version, transition, source, target, occurred_at, run_id, data, hash)
SELECT
  'c' || (i / 100), i % 100 + 1, iif(i % 100 = 0, 'fell_due', 'paused'), iif(i % 100 = 0, NULL, 'due'), 'due',
  1791630000000, 'r', '{"v":1,"reason":"a text of some length, as events have it, for the pages to fill"}', 'h' || i
FROM n
