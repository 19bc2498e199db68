DROP TABLE IF EXISTS process_servers;
