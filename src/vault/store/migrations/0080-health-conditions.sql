CREATE TABLE IF NOT EXISTS health_conditions (
  -- SHA-256 of the object's lower-cased id.
  object_hash BINARY(32) NOT NULL,
  code VARCHAR(80) NOT NULL,
  object_id VARCHAR(2000) NOT NULL,
  object_name VARCHAR(253) NOT NULL,
  vault_hash BINARY(32) NOT NULL,
  vault_id VARCHAR(600) NOT NULL,
  -- HealthCondition; changes while it holds, e.g. how far the RPO is exceeded.
  said JSON NOT NULL,
  seen_at DATETIME(3) NOT NULL,
  -- NULL: it has not held for long enough to be told.
  raised_at DATETIME(3) NULL,
  PRIMARY KEY (object_hash, code),
  KEY by_vault (vault_hash, raised_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
