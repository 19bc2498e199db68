CREATE TABLE IF NOT EXISTS progress (
  item_id CHAR(36) NOT NULL,
  disk_id CHAR(36) NOT NULL,
  place INT NOT NULL,
  progress JSON NOT NULL,
  PRIMARY KEY (item_id, disk_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
