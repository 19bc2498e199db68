-- Disks of the machine that a recovery point does not have, with why; null: it has all.
ALTER TABLE recovery_points ADD COLUMN IF NOT EXISTS missing_disks JSON NULL
