CREATE TABLE IF NOT EXISTS failover_fences (
  item_id CHAR(36) NOT NULL PRIMARY KEY,
  failover_id CHAR(36) NOT NULL,
  fenced_at DATETIME(3) NOT NULL,
  -- The failover was cancelled: the row stays until the site has heard of that.
  lifted_at DATETIME(3) NULL,
  -- The site knows of what holds now.
  told_at DATETIME(3) NULL,
  KEY by_told (told_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
