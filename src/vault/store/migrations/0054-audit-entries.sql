CREATE TABLE IF NOT EXISTS audit_entries (
  entry_id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
  happened_at DATETIME(3) NOT NULL,
  correlation_id VARCHAR(128) NOT NULL,
  resource_key VARCHAR(1000) NOT NULL,
  principal_id CHAR(36) NOT NULL,
  entry JSON NOT NULL,
  KEY by_time (happened_at, entry_id),
  KEY by_correlation (correlation_id),
  KEY by_principal (principal_id, entry_id),
  KEY by_resource (resource_key(300))
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
