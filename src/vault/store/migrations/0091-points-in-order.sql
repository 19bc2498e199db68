-- Points are listed, and the latest is chosen, in the order of the chain: their dates are of the machine's clock, which may be
-- stepped.
ALTER TABLE recovery_points ADD INDEX IF NOT EXISTS by_place (item_id, chain, sequence)
