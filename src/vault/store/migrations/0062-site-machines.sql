CREATE TABLE IF NOT EXISTS site_machines (
  site_id CHAR(36) NOT NULL,
  machine_id CHAR(36) NOT NULL,
  name VARCHAR(253) NOT NULL,
  item_id CHAR(36) NULL,
  report_number BIGINT NOT NULL,
  said JSON NOT NULL,
  PRIMARY KEY (site_id, machine_id),
  KEY by_name (site_id, name, machine_id),
  KEY by_machine (machine_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
