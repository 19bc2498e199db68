CREATE TABLE IF NOT EXISTS item_history (
  item_id CHAR(36) NOT NULL,
  -- Start of the five minutes, or of the hour once they were summed up.
  at DATETIME NOT NULL,
  seconds INT UNSIGNED NOT NULL,
  -- The largest seen; NULL: there was no point yet.
  rpo_seconds DOUBLE NULL,
  changed_bytes BIGINT UNSIGNED NOT NULL,
  points INT UNSIGNED NOT NULL,
  PRIMARY KEY (item_id, at),
  KEY by_time (seconds, at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
