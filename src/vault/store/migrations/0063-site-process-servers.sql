CREATE TABLE IF NOT EXISTS site_process_servers (
  process_server_id CHAR(36) NOT NULL PRIMARY KEY,
  site_id CHAR(36) NOT NULL,
  name VARCHAR(40) NOT NULL,
  report_number BIGINT NOT NULL,
  -- NULL: it has a certificate and was not in a report yet, or not in the last one.
  said JSON NULL,
  KEY by_site (site_id, name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
