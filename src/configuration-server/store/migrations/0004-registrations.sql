CREATE TABLE IF NOT EXISTS registrations (
  -- One row: the site whose orders and assignments are in this database.
  site_id CHAR(36) NOT NULL PRIMARY KEY,
  adopted_at DATETIME(3) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
