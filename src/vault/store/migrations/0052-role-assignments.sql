CREATE TABLE IF NOT EXISTS role_assignments (
  assignment_id CHAR(36) NOT NULL PRIMARY KEY,
  scope VARCHAR(500) NOT NULL,
  role VARCHAR(50) NOT NULL,
  principal_id CHAR(36) NOT NULL,
  created_at DATETIME(3) NOT NULL,
  created_by CHAR(36) NOT NULL,
  UNIQUE KEY once (principal_id, role, scope),
  KEY by_scope (scope)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
