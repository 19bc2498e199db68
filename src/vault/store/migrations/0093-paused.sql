-- Items whose log processor cannot go on just now, and tries again by itself: a full disk, cache storage that does not answer.
CREATE TABLE IF NOT EXISTS paused (
  item_id CHAR(36) NOT NULL PRIMARY KEY,
  event JSON NOT NULL
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
