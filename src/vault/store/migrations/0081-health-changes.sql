CREATE TABLE IF NOT EXISTS health_changes (
  change_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  vault_hash BINARY(32) NOT NULL,
  vault_id VARCHAR(600) NOT NULL,
  object_id VARCHAR(2000) NOT NULL,
  object_name VARCHAR(253) NOT NULL,
  -- Raised or Cleared.
  kind VARCHAR(10) NOT NULL,
  said JSON NOT NULL,
  at DATETIME(3) NOT NULL,
  KEY by_vault (vault_hash, change_id),
  KEY by_time (at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
