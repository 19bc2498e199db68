CREATE TABLE IF NOT EXISTS test_failovers (
  failover_id CHAR(36) NOT NULL PRIMARY KEY,
  item_id CHAR(36) NOT NULL,
  state VARCHAR(20) NOT NULL,
  started_at DATETIME(3) NOT NULL,
  record JSON NOT NULL,
  KEY by_start (started_at, failover_id),
  KEY by_state (state)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
