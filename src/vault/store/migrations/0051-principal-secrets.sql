CREATE TABLE IF NOT EXISTS principal_secrets (
  secret_id CHAR(36) NOT NULL PRIMARY KEY,
  object_id CHAR(36) NOT NULL,
  display_name VARCHAR(200) NOT NULL,
  hint CHAR(3) NOT NULL,
  hash VARCHAR(300) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  KEY by_principal (object_id, created_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
