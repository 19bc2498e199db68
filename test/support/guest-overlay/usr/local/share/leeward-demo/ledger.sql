CREATE DATABASE leeward;
USE leeward;
CREATE TABLE ledger (
  seq BIGINT NOT NULL PRIMARY KEY,
  written_at DATETIME(3) NOT NULL,
  checksum CHAR(64) NOT NULL
) ENGINE = InnoDB;
CREATE DEFINER = root@localhost PROCEDURE append_entry() MODIFIES SQL DATA SQL SECURITY INVOKER BEGIN DECLARE last BIGINT DEFAULT 0; DECLARE before_it CHAR(64) DEFAULT ''; DECLARE CONTINUE HANDLER FOR NOT FOUND BEGIN END; SELECT seq, checksum INTO last, before_it FROM ledger ORDER BY seq DESC LIMIT 1 FOR UPDATE; INSERT INTO ledger VALUES (last + 1, NOW(3), SHA2(CONCAT(last + 1, ':', before_it), 256)); SELECT seq, DATE_FORMAT(written_at, '%Y-%m-%dT%H:%i:%s.%fZ'), checksum FROM ledger WHERE seq = last + 1; END;
