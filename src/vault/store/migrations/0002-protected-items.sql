CREATE TABLE IF NOT EXISTS protected_items (
  item_id CHAR(36) NOT NULL PRIMARY KEY,
  name VARCHAR(63) NOT NULL UNIQUE,
  process_server VARCHAR(63) NOT NULL,
  disks JSON NOT NULL,
  retention JSON NOT NULL,
  sealed_key VARBINARY(200) NOT NULL,
  created_at DATETIME(3) NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
