CREATE TABLE IF NOT EXISTS recovery_points (
  item_id CHAR(36) NOT NULL,
  point_id CHAR(36) NOT NULL,
  type VARCHAR(30) NOT NULL,
  method VARCHAR(20) NOT NULL,
  taken_at DATETIME(3) NOT NULL,
  processed_at DATETIME(3) NOT NULL,
  frozen_milliseconds DOUBLE NOT NULL,
  size_bytes BIGINT NOT NULL,
  changed_bytes BIGINT NOT NULL,
  chain BIGINT NOT NULL,
  sequence BIGINT NOT NULL,
  locked_until DATETIME(3) NULL,
  PRIMARY KEY (item_id, point_id),
  KEY by_time (item_id, taken_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
