CREATE TABLE IF NOT EXISTS site_orders (
  order_id CHAR(36) NOT NULL PRIMARY KEY,
  site_id CHAR(36) NOT NULL,
  sequence BIGINT NOT NULL,
  content JSON NOT NULL,
  placed_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  -- NULL until answered; the first answer stays.
  answer JSON NULL,
  answered_at DATETIME(3) NULL,
  UNIQUE KEY in_order (site_id, sequence),
  KEY open_orders (answered_at, expires_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
