CREATE TABLE IF NOT EXISTS principals (
  object_id CHAR(36) NOT NULL PRIMARY KEY,
  kind VARCHAR(20) NOT NULL,
  application_id CHAR(36) NULL,
  issuer VARCHAR(500) NULL,
  subject VARCHAR(500) NULL,
  display_name VARCHAR(200) NOT NULL,
  enabled TINYINT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  UNIQUE KEY by_application (application_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
