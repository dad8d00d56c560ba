package demo

// schemaName is the database that the example table mappings select from.
const schemaName = "dms_sample"

// tables in the order in which they can be filled. The shop sells seats at games: who bought which ticket from whom,
// when and at what price is the history, which grows for ever and is what an archive is for.
var tables = []struct{ name, definition string }{
	{"sport_location", `
  id SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  city VARCHAR(60) NOT NULL,
  seats MEDIUMINT UNSIGNED NOT NULL,
  latitude DOUBLE, longitude DOUBLE,
  opened YEAR`},
	{"sport_team", `
  id SMALLINT UNSIGNED NOT NULL PRIMARY KEY,
  name VARCHAR(60) NOT NULL,
  short_name CHAR(3) NOT NULL,
  sport ENUM('football','handball','ice hockey') NOT NULL,
  colours SET('red','blue','white','black','green','yellow') NOT NULL,
  home_id SMALLINT UNSIGNED NOT NULL,
  FOREIGN KEY (home_id) REFERENCES sport_location (id)`},
	{"person", `
  id INT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
  first_name VARCHAR(40) NOT NULL,
  last_name VARCHAR(40) NOT NULL,
  email VARCHAR(120) CHARACTER SET latin1 NOT NULL,
  born DATE,
  joined TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
  newsletter BIT(1) NOT NULL DEFAULT b'0',
  preferences JSON`},
	{"sporting_event", `
  id INT UNSIGNED NOT NULL PRIMARY KEY,
  home_team_id SMALLINT UNSIGNED NOT NULL,
  away_team_id SMALLINT UNSIGNED NOT NULL,
  location_id SMALLINT UNSIGNED NOT NULL,
  starts_at DATETIME NOT NULL,
  doors_open TIME NOT NULL,
  sold_out TINYINT(1) NOT NULL DEFAULT 0,
  FOREIGN KEY (home_team_id) REFERENCES sport_team (id),
  FOREIGN KEY (away_team_id) REFERENCES sport_team (id),
  FOREIGN KEY (location_id) REFERENCES sport_location (id)`},
	{"sporting_event_ticket", `
  id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
  sporting_event_id INT UNSIGNED NOT NULL,
  sector VARCHAR(10) NOT NULL,
  seat_row SMALLINT UNSIGNED NOT NULL,
  seat SMALLINT UNSIGNED NOT NULL,
  holder_id INT UNSIGNED,
  price DECIMAL(8,2) NOT NULL,
  barcode BINARY(8) NOT NULL,
  FOREIGN KEY (sporting_event_id) REFERENCES sporting_event (id),
  FOREIGN KEY (holder_id) REFERENCES person (id)`},
	{"ticket_purchase_hist", `
  sporting_event_ticket_id BIGINT UNSIGNED NOT NULL,
  purchased_by_id INT UNSIGNED NOT NULL,
  transaction_date_time DATETIME(6) NOT NULL,
  transferred_from_id INT UNSIGNED,
  purchase_price DECIMAL(8,2) NOT NULL,
  note VARCHAR(80),
  PRIMARY KEY (sporting_event_ticket_id, purchased_by_id, transaction_date_time),
  FOREIGN KEY (sporting_event_ticket_id) REFERENCES sporting_event_ticket (id),
  FOREIGN KEY (purchased_by_id) REFERENCES person (id)`},
}
