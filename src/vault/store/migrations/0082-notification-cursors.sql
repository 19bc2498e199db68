CREATE TABLE IF NOT EXISTS notification_cursors (
  -- SHA-256 of what the channel is: mail of a vault, or a webhook's URL.
  channel_hash BINARY(32) NOT NULL PRIMARY KEY,
  channel VARCHAR(2000) NOT NULL,
  -- The last change that was delivered.
  change_id BIGINT UNSIGNED NOT NULL,
  delivered_at DATETIME(3) NULL,
  failures INT UNSIGNED NOT NULL DEFAULT 0,
  failure VARCHAR(2000) NULL,
  retry_at DATETIME(3) NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
