package source

import (
	"time"
)

// Flavor is the family of a server.
type Flavor string

// The flavors.
const (
	MySQL   Flavor = "mysql"
	MariaDB Flavor = "mariadb"
)

// Server is what Describe found out about a server.
type Server struct {
	Flavor   Flavor
	Version  string // as the server prints it, e.g. "8.0.36" or "10.11.6-MariaDB-log"
	UUID     string // server_uuid; on MariaDB, which has none, an identity derived from server_id and server_uid
	ServerID uint32

	LogBin       bool
	BinlogFormat string // ROW, MIXED, STATEMENT
	RowImage     string // FULL, MINIMAL, NOBLOB
	RowMetadata  string // FULL, MINIMAL, NO_LOG; "" where the server does not know it
	RowValueOpts string // PARTIAL_JSON or ""
	Compression  bool   // binlog_transaction_compression (MySQL), log_bin_compress (MariaDB)
	Encryption   bool   // binlog_encryption / encrypt_binlog: of no consequence to a reader, which gets events in clear
	GTIDMode     bool   // positions carry a GTID set that a reader can start from
	GTIDPurged   string // MySQL only
	ReadOnly     bool

	ExpireAfter     time.Duration // how long the server keeps its binary log; 0: until purged by hand
	LowerCaseTables int           // lower_case_table_names
	MaxPacket       uint64        // max_allowed_packet
}
