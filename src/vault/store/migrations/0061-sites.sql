CREATE TABLE IF NOT EXISTS sites (
  site_id CHAR(36) NOT NULL PRIMARY KEY,
  -- Lower-cased resource id.
  vault_id VARCHAR(600) NOT NULL,
  fabric_name VARCHAR(63) NOT NULL,
  host_name VARCHAR(253) NOT NULL,
  version VARCHAR(40) NOT NULL,
  box_public_key CHAR(44) NOT NULL,
  registered_at DATETIME(3) NOT NULL,
  -- Of the configuration server, as it last said (JSON of SiteReport.configurationServer).
  said JSON NULL,
  last_report_at DATETIME(3) NULL,
  -- A report is several pages: which report is being taken, and which page comes next.
  report_number BIGINT NOT NULL DEFAULT 0,
  next_page INT NOT NULL DEFAULT 0,
  last_whole_report_at DATETIME(3) NULL,
  order_sequence BIGINT NOT NULL DEFAULT 0,
  removed_at DATETIME(3) NULL,
  KEY by_vault (vault_id(200), fabric_name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
