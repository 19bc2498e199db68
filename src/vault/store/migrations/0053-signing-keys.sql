CREATE TABLE IF NOT EXISTS signing_keys (
  generation INT NOT NULL PRIMARY KEY,
  key_id VARCHAR(100) NOT NULL,
  public_key JSON NOT NULL,
  sealed_private_key BLOB NOT NULL,
  created_at DATETIME(3) NOT NULL,
  signs_from DATETIME(3) NOT NULL,
  UNIQUE KEY by_key (key_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
