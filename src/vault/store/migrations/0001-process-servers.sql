CREATE TABLE IF NOT EXISTS process_servers (
  name VARCHAR(40) NOT NULL PRIMARY KEY,
  host VARCHAR(255) NOT NULL,
  port INT NOT NULL,
  created_at DATETIME(3) NOT NULL,
  UNIQUE KEY address (host, port)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
