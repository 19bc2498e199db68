CREATE TABLE IF NOT EXISTS registration_keys (
  key_id CHAR(36) NOT NULL PRIMARY KEY,
  vault_id VARCHAR(600) NOT NULL,
  fabric_name VARCHAR(63) NULL,
  -- SHA-256 of the secret and of the whole token: neither can be made from what is kept here.
  secret_sha256 CHAR(64) NOT NULL,
  issued_at DATETIME(3) NOT NULL,
  expires_at DATETIME(3) NOT NULL,
  requested_by VARCHAR(100) NOT NULL,
  superseded_at DATETIME(3) NULL,
  revoked_at DATETIME(3) NULL,
  used_at DATETIME(3) NULL,
  -- Of the public key that used it: the same one may ask again when the answer was lost.
  used_by_key_sha256 CHAR(64) NULL,
  site_id CHAR(36) NULL,
  KEY by_vault (vault_id(200), issued_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
