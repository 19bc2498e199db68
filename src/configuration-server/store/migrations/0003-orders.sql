CREATE TABLE IF NOT EXISTS orders (
  order_id CHAR(36) NOT NULL PRIMARY KEY,
  sequence BIGINT NOT NULL UNIQUE,
  content JSON NOT NULL,
  received_at DATETIME(3) NOT NULL,
  -- When its effect was made durable.
  begun_at DATETIME(3) NULL,
  -- Agents that have to follow (JSON list of ids).
  concerns JSON NULL,
  answer JSON NULL,
  answered_at DATETIME(3) NULL,
  -- When the vault said that it has the answer.
  sent_at DATETIME(3) NULL,
  KEY open_orders (answered_at, sequence),
  KEY unsent (sent_at, sequence)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
