-- How long writers were held back for the point; null: they were not.
ALTER TABLE recovery_points ADD COLUMN IF NOT EXISTS held_milliseconds DOUBLE NULL
