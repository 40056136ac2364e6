-- name: find_budgets
SELECT id, scope, limit_nanos, period, action, thresholds, origin FROM budget WHERE active = 1 ORDER BY id;

-- name: put_budget
-- A budget as it shall be from now on.
INSERT INTO budget (id, scope, limit_nanos, period, action, thresholds, origin, active)
VALUES (:id, :scope, :limit_nanos, :period, :action, :thresholds, :origin, 1)
ON CONFLICT (id) DO UPDATE SET
    scope = excluded.scope, limit_nanos = excluded.limit_nanos, period = excluded.period, action = excluded.action,
    thresholds = excluded.thresholds, origin = excluded.origin, active = 1;

-- name: end_budget
UPDATE budget SET active = 0 WHERE id = :id AND active = 1;

-- name: change_budgets
UPDATE chain SET seq = seq + 1 WHERE name = 'budget';

-- name: budget_version
SELECT seq FROM chain WHERE name = 'budget';

-- name: budget_limit
SELECT limit_nanos, thresholds, action, period, scope FROM budget WHERE id = :budget AND active = 1;

-- name: make_balance
INSERT INTO balance (budget, subject, starts, ends) VALUES (:budget, :subject, :starts, :ends) ON CONFLICT (budget, subject, starts) DO NOTHING;

-- name: find_balance
SELECT n, held, wanted FROM balance WHERE budget = :budget AND subject = :subject AND starts = :starts;

-- name: used
-- What counts against the limit in a window that ends at `ends`: the buckets of a rolling budget, else the one balance; and whatever began
-- in it while the budget had another window.
SELECT coalesce(sum(spent), 0), coalesce(sum(held), 0) FROM balance
WHERE budget = :budget AND subject = :subject AND starts >= :counts_from AND starts < :ends;

-- name: want
UPDATE balance SET wanted = :now WHERE n = :balance;

-- name: hold
UPDATE balance SET held = held + :amount WHERE n = :balance;

-- name: put_slab
INSERT INTO slab (process, balance, amount) VALUES (:process, :balance, :amount)
ON CONFLICT (process, balance) DO UPDATE SET amount = slab.amount + excluded.amount;

-- name: settle_balance
-- What was held is spent, or free again.
UPDATE balance SET spent = spent + :spent, held = held - :held WHERE n = :balance RETURNING budget, subject, starts, spent;

-- name: shrink_slab
UPDATE slab SET amount = amount - :held WHERE process = :process AND balance = :balance;

-- name: slabs_of
SELECT balance, amount FROM slab WHERE process = :process ORDER BY balance;

-- name: drop_slabs
DELETE FROM slab WHERE process = :process;

-- name: held_by_others
SELECT coalesce(sum(amount), 0) FROM slab WHERE balance = :balance AND process <> :process;

-- name: wanted
-- Balances a process holds slabs of and that somebody was turned away from since.
SELECT balance.n, balance.wanted FROM slab JOIN balance ON balance.n = slab.balance
WHERE slab.process = :process AND balance.wanted > :since;

-- name: register
INSERT INTO process (id, host, state, started, expires) VALUES (:process, :host, 'live', :now, :expires) ON CONFLICT (id) DO NOTHING;

-- name: count_flush
-- Nothing is changed when the batch has been committed before.
UPDATE process SET flushed = :number, expires = :expires WHERE id = :process AND flushed = :number - 1 RETURNING state;

-- name: find_process
SELECT state, flushed, expires FROM process WHERE id = :process;

-- name: set_state
UPDATE process SET state = :state WHERE id = :process;

-- name: drop_process
DELETE FROM process WHERE id = :process;

-- name: expired
SELECT id FROM process WHERE expires < :now AND state = 'live' ORDER BY id;

-- name: post
INSERT INTO posting (at, kind, balance, receipt, process, nanos) VALUES (:at, :kind, :balance, :receipt, :process, :nanos);

-- name: postings_of
SELECT balance, sum(nanos) FROM posting WHERE receipt = :receipt GROUP BY balance;

-- name: receipts_between
SELECT id, detail FROM receipt WHERE at >= :since AND at < :until ORDER BY at;

-- name: receipt_to_correct
SELECT at, detail FROM receipt WHERE id = :receipt;

-- name: told
SELECT coalesce(max(threshold), 0) FROM alert WHERE budget = :budget AND subject = :subject AND starts = :starts;

-- name: told_lately
-- As `told`, of a rolling budget: every threshold that was told within the span or after it, as requests do not end in the order they begin in.
SELECT coalesce(max(threshold), 0) FROM alert WHERE budget = :budget AND subject = :subject AND starts >= :counts_from;

-- name: put_alert
INSERT INTO alert (at, budget, subject, starts, threshold, scope, period, action, limit_nanos, spent_nanos)
VALUES (:at, :budget, :subject, :starts, :threshold, :scope, :period, :action, :limit_nanos, :spent_nanos)
ON CONFLICT (budget, subject, starts, threshold) DO NOTHING;

-- name: claim_alert
-- The oldest alert since `since` that is to be delivered, unless somebody is at it.
UPDATE alert SET claimed = :until, tries = tries + 1
WHERE n = (SELECT min(waiting.n) FROM alert AS waiting WHERE waiting.delivered IS NULL AND waiting.at > :since) AND claimed < :now
RETURNING n, at, budget, subject, starts, threshold, scope, period, action, limit_nanos, spent_nanos, tries;

-- name: alerts
-- What was told, the newest first; of one budget where `:budget` names it.
SELECT n, at, budget, subject, starts, threshold, scope, period, action, limit_nanos, spent_nanos, tries, delivered FROM alert
WHERE CAST(:budget AS TEXT) IS NULL OR budget = :budget
ORDER BY n DESC LIMIT :most;

-- name: alert_delivered
UPDATE alert SET delivered = :now WHERE n = :n;

-- name: subjects
-- Who has a balance that counts.
SELECT DISTINCT subject FROM balance WHERE budget = :budget AND starts >= :counts_from AND starts < :ends ORDER BY subject;

-- name: rolling_budgets
SELECT id, period FROM budget WHERE period LIKE 'rolling:%' ORDER BY id;

-- name: old_balances
-- Those that began before `before` and that nobody holds any of, the oldest of each subject first.
SELECT n FROM balance
WHERE budget = :budget AND starts < :before AND held = 0 AND NOT EXISTS (SELECT 1 FROM slab WHERE slab.balance = balance.n AND slab.amount > 0)
ORDER BY subject, starts LIMIT :most;

-- name: delete_balance
-- The last one stays: a number must never be given again, for receipts name it.
DELETE FROM balance
WHERE
    n = :balance
    AND held = 0
    AND n < (SELECT max(last.n) FROM balance AS last)
    AND NOT EXISTS (SELECT 1 FROM slab WHERE slab.balance = balance.n AND slab.amount > 0);

-- name: drop_stray_slabs
-- Of balances that are no more; nothing is in them.
DELETE FROM slab WHERE amount = 0 AND NOT EXISTS (SELECT 1 FROM balance WHERE balance.n = slab.balance);
