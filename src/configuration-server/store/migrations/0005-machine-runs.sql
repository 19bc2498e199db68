CREATE TABLE IF NOT EXISTS machine_runs (
  -- The agent as which it reports.
  agent_id CHAR(36) NOT NULL,
  -- One run of one machine; of a copy of a run, a digest of it and its ticket.
  instance VARCHAR(64) NOT NULL,
  -- holder: the machine that this agent is; waiting: came while the holder may live; copy: another machine.
  standing VARCHAR(10) NOT NULL,
  identity VARCHAR(512) NOT NULL,
  name VARCHAR(253) NOT NULL,
  -- JSON list, as it says, and where it came from.
  addresses JSON NOT NULL,
  first_seen_at DATETIME(3) NOT NULL,
  last_seen_at DATETIME(3) NOT NULL,
  -- Of the holder: JSON of the ticket it showed last, and of those given to it since.
  tickets JSON NULL,
  PRIMARY KEY (agent_id, instance),
  KEY by_instance (instance),
  KEY by_standing (standing, agent_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
