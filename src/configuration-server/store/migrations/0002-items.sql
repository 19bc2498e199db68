CREATE TABLE IF NOT EXISTS items (
  item_id CHAR(36) NOT NULL PRIMARY KEY,
  machine_id CHAR(36) NOT NULL,
  process_server_id CHAR(36) NOT NULL,
  -- Name, disks and policy.
  content JSON NOT NULL,
  -- Under this configuration server's master key.
  sealed_key VARBINARY(200) NOT NULL,
  assigned_at DATETIME(3) NOT NULL,
  -- The process server has taken it: now its machine may come.
  served_at DATETIME(3) NULL,
  UNIQUE KEY one_item_a_machine (machine_id),
  KEY by_process_server (process_server_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
