CREATE TABLE IF NOT EXISTS job_log (
  job_id CHAR(36) NOT NULL,
  sequence INT NOT NULL,
  entry JSON NOT NULL,
  PRIMARY KEY (job_id, sequence)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
