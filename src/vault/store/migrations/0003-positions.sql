CREATE TABLE IF NOT EXISTS positions (
  item_id CHAR(36) NOT NULL PRIMARY KEY,
  chain BIGINT NOT NULL,
  sequence BIGINT NOT NULL,
  digest CHAR(64) NULL,
  generation BIGINT NOT NULL,
  archive_bytes BIGINT NOT NULL,
  changed_bytes BIGINT NOT NULL,
  applied_at DATETIME(3) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
