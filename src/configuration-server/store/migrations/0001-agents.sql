CREATE TABLE IF NOT EXISTS agents (
  agent_id CHAR(36) NOT NULL PRIMARY KEY,
  -- mobility-service or process-server
  role VARCHAR(20) NOT NULL,
  name VARCHAR(253) NOT NULL,
  enrolled_at DATETIME(3) NOT NULL,
  heartbeat_at DATETIME(3) NULL,
  -- Its last report (JSON of AgentReport).
  said JSON NULL,
  -- The version of what is wanted that it answered last, and why not if it could not.
  answered_version VARCHAR(64) NOT NULL DEFAULT '',
  failed JSON NULL,
  KEY by_name (role, name, agent_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
