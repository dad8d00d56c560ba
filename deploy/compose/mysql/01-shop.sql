-- What the pipeline needs, and something to replicate.
CREATE USER 'binlogstreamer'@'%' IDENTIFIED BY 'replication';
GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'binlogstreamer'@'%';

CREATE TABLE shop.ticket (
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  event VARCHAR(100) NOT NULL,
  price DECIMAL(10,2) NOT NULL,
  sold DATETIME(6) NULL
);
INSERT INTO shop.ticket (event, price, sold) VALUES ('Opera', 84.50, NULL), ('Concert', 32.00, NOW(6)), ('Match', 25.00, NULL);
