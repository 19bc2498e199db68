CREATE TABLE IF NOT EXISTS disks (
  item_id CHAR(36) NOT NULL,
  disk_id CHAR(36) NOT NULL,
  place INT NOT NULL,
  size_bytes BIGINT NOT NULL,
  state VARCHAR(20) NOT NULL,
  cause VARCHAR(40) NULL,
  PRIMARY KEY (item_id, disk_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
