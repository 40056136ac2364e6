-- name: grants
-- What was granted of a bucket, from a slot on.
SELECT slot, granted FROM limit_grant WHERE bucket = :bucket AND slot >= :oldest;

-- name: add_grant
INSERT INTO limit_grant (bucket, slot, granted, at) VALUES (:bucket, :slot, :amount, :at)
ON CONFLICT (bucket, slot) DO UPDATE SET granted = limit_grant.granted + excluded.granted, at = excluded.at;

-- name: give_back
-- A negative amount: more was used than was granted.
UPDATE limit_grant
SET granted = CASE WHEN granted > :amount THEN granted - :amount ELSE 0 END
WHERE bucket = :bucket AND slot = :slot;

-- name: forget_grants
DELETE FROM limit_grant WHERE bucket = :bucket AND slot < :oldest;

-- name: sweep_grants
DELETE FROM limit_grant WHERE at < :until;

-- name: held_by_others
SELECT holder, held, wanted FROM limit_hold WHERE subject = :subject AND holder <> :holder AND until >= :now;

-- name: put_hold
INSERT INTO limit_hold (subject, holder, held, wanted, until) VALUES (:subject, :holder, :held, :wanted, :until)
ON CONFLICT (subject, holder) DO UPDATE SET held = excluded.held, wanted = excluded.wanted, until = excluded.until;

-- name: sweep_holds
DELETE FROM limit_hold WHERE until < :now OR (held = 0 AND wanted = 0);
