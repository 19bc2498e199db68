CREATE TABLE IF NOT EXISTS resources (
  sequence BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
  id_hash BINARY(32) NOT NULL,
  parent_hash BINARY(32) NOT NULL,
  vault_hash BINARY(32) NOT NULL,
  type_hash BINARY(32) NOT NULL,
  id VARCHAR(2000) NOT NULL,
  properties LONGTEXT NOT NULL,
  revision INT UNSIGNED NOT NULL,
  created_at DATETIME(3) NOT NULL,
  changed_at DATETIME(3) NOT NULL,
  PRIMARY KEY (sequence),
  UNIQUE KEY by_id (id_hash),
  KEY by_parent (parent_hash, type_hash, sequence),
  KEY by_vault (vault_hash, type_hash, sequence)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
